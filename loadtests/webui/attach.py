"""Attaching to Locust: fields of the start form, and everything when there is a web UI."""

from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import Events
from locust.runners import Runner
from locust.web import WebUI

import os
import shlex
import sys
from typing import Any

import gevent

from loadtests.driver import conductor_of
from loadtests.webui.account import account_for
from loadtests.webui.desk import Desk
from loadtests.webui.login import guard
from loadtests.webui.pages import join_in, make_pages, show_tabs
from loadtests.webui.wishes import FIELDS
from loadtests.work import LoadError
from sim.exit_codes import USAGE_WRONG
from sim.scenario import shipped_scenarios


def install(events: Events) -> None:
    """Attach the web UI to Locust; called once, by the locustfile, after the driver's."""
    form = _StartForm()
    events.init_command_line_parser.add_listener(form.add_fields)

    def on_init(environment: Environment, runner: Runner, web_ui: WebUI | None, **_: Any) -> None:
        if web_ui is None:
            return
        try:
            form.desk = _open(environment, runner, web_ui)
        except LoadError as error:
            sys.stderr.write(f"hoso: {error}\n")
            raise SystemExit(USAGE_WRONG) from None

    events.init.add_listener(on_init)


class _StartForm:
    """The fields of the start form: Locust builds them anew from its options for every page."""

    def __init__(self) -> None:
        self.desk: Desk | None = None

    def add_fields(self, parser: LocustArgumentParser) -> None:
        parser.set_defaults(web_host="127.0.0.1")
        parser.add_argument(
            "--overrides",
            default="",
            metavar="TEXT",
            help="In the web UI: changes to the scenario, KEY=VALUE, separated by blanks",
        )
        # Registered by the driver for the command line alone, some of them are fields, too.
        actions = {action.dest: action for action in parser._actions}
        for name in FIELDS:
            action: Any = actions[name]
            action.include_in_web_ui = True
            action.is_secret = action.is_required = action.is_multiple = False
        if self.desk is not None:
            wish = self.desk.wish
            parser.set_defaults(
                scenario=wish.scenario,
                overrides=shlex.join(wish.overrides),
                replication=wish.replication,
                max_time=wish.max_time_s,
            )
            known = shipped_scenarios()
            actions["scenario"].choices = [*({wish.scenario} - set(known)), *known]


def _open(environment: Environment, runner: Runner, web_ui: WebUI) -> Desk:
    """Add everything of this package to a web UI that is not yet open."""
    account = account_for(web_ui.host, os.environ, has_login=web_ui.web_login)
    conductor = conductor_of(environment)
    assert conductor is not None
    options: Any = environment.parsed_options
    environment.host = conductor.order.plan.host
    desk = Desk(conductor, runner, options.authorisation)
    pages = make_pages(web_ui, desk, (options.web_base_path or "").rstrip("/"))
    if account is not None:
        guard(web_ui, account, pages)
    assert web_ui.app is not None
    web_ui.app.register_blueprint(pages)
    show_tabs(web_ui, pages)
    join_in(web_ui, desk)
    # A test that could not be begun leaves users that Locust starts all the same.
    environment.events.spawning_complete.add_listener(
        lambda **_: None if conductor.is_running else gevent.spawn(runner.stop)
    )
    environment.events.quitting.add_listener(lambda **_: desk.close())
    desk.open()
    return desk
