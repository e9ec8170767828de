"""Tabs of the stock UI, and own pages beside it."""

from locust.web import WebUI

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, jsonify, make_response, request, send_file, stream_with_context
from flask import Response as Answer
from werkzeug.wrappers import Response

from loadtests.webui.archive import zipped
from loadtests.webui.aside import report_of
from loadtests.webui.desk import Desk
from loadtests.work import LoadError

PREDICTION, TRUST = "hoso-prediction", "hoso-trust"

_Told = TypeVar("_Told", bound=Response | None)


class _Guard(Protocol):
    """Asks for the login before a page, where there is one."""

    def __call__(self, view: Callable[[], _Told], /) -> Callable[[], _Told]: ...


_CHARTS = Path(__file__).with_name("charts.html")
_NOT_YET = "No run is stored yet: it is when the load test has ended."
_FORBIDDEN, _NOT_FOUND, _FAILED = 403, 404, 500

_COLUMNS = {
    PREDICTION: {
        "endpoint": "Endpoint",
        "requests": "Requests",
        "of": "Simulated",
        "ok": "OK",
        "measured_p50": "p50 measured",
        "simulated_p50": "p50 simulated",
        "measured_p95": "p95 measured",
        "simulated_p95": "p95 simulated",
        "target_p95": "p95 target",
        "headroom": "Headroom",
        "verdict": "Verdict",
    },
    TRUST: {"figure": "Figure", "value": "Value", "limit": "Limit", "verdict": "Verdict"},
}


def make_pages(web_ui: WebUI, desk: Desk, base_path: str) -> Blueprint:
    """Return the own pages, all under ``/hoso``; each asks for the login where there is one."""
    pages = Blueprint("hoso", __name__, url_prefix=f"{base_path}/hoso")
    members_only: _Guard = web_ui.auth_required_if_enabled

    @pages.get("/charts")
    @members_only
    def charts() -> Response:
        return send_file(_CHARTS, max_age=0)

    @pages.get("/series.json")
    @members_only
    def series() -> Response:
        after_s = request.args.get("after", -math.inf, type=float)
        return jsonify(desk.charts(request.args.get("test", ""), after_s))

    @pages.get("/run.zip")
    @members_only
    def run_zip() -> Response:
        run = desk.run
        if run is None:
            return make_response(_NOT_YET, _NOT_FOUND)
        name = f"{run.path.parent.name}-{run.path.name}.zip"
        return Answer(
            stream_with_context(zipped(run.path)),
            mimetype="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @pages.get("/report")
    @members_only
    def report() -> Response:
        run = desk.run
        if run is None:
            return make_response(_NOT_YET, _NOT_FOUND)
        try:
            return send_file(report_of(run).absolute(), max_age=0)
        except LoadError as error:
            return make_response(str(error), _FAILED)

    return pages


def show_tabs(web_ui: WebUI, pages: Blueprint) -> None:
    """Add the tabs and the links to the stock UI."""
    prefix = pages.url_prefix
    web_ui.template_args.update(
        extended_tabs=[
            {"title": "Prediction", "key": PREDICTION},
            {"title": "Trust", "key": TRUST},
        ],
        extended_tables=[
            {
                "key": tab,
                "structure": [{"key": key, "title": title} for key, title in columns.items()],
            }
            for tab, columns in _COLUMNS.items()
        ],
        extended_csv_files=[
            {"href": f"{prefix}/charts", "title": "Charts"},
            {"href": f"{prefix}/run.zip", "title": "Download the run"},
            {"href": f"{prefix}/report", "title": "Report of the run"},
        ],
    )


def join_in(web_ui: WebUI, desk: Desk) -> None:
    """Take part in what the stock pages do: start, stop and the news of every two seconds."""
    app = web_ui.app
    assert app is not None
    members_only: _Guard = web_ui.auth_required_if_enabled

    @app.before_request
    def refuse_strangers() -> Response | None:
        """Keep pages of other sites, open in the same browser, from using the UI."""
        origin = request.headers.get("Origin")
        if origin is None or urlsplit(origin).netloc == request.host:
            return None
        return make_response(
            f"A page of {origin} may not use this web UI; a proxy before it must pass the Host "
            "header on.",
            _FORBIDDEN,
        )

    @members_only
    def prepare() -> Response | None:
        try:
            desk.prepare(request.form)
        except LoadError as error:
            return jsonify({"success": False, "message": str(error)})
        return None

    @members_only
    def stop() -> Response | None:
        desk.stop()
        return None

    @app.before_request
    def before_stock_page() -> Response | None:
        if request.endpoint == "locust.swarm":
            return prepare()
        return stop() if request.endpoint == "locust.stop" else None

    @app.after_request
    def add_news(response: Answer) -> Answer:
        news = (
            response.get_json(silent=True) if request.endpoint == "locust.request_stats" else None
        )
        if not isinstance(news, dict):
            return response
        state = desk.state
        rows = {PREDICTION: desk.prediction_rows(), TRUST: desk.trust_rows()}
        stats = [{"key": tab, "data": data} for tab, data in rows.items()]
        return jsonify(news | {"state": state, "extended_stats": stats})
