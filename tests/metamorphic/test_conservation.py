"""What holds in every run, whatever the scenario: nothing is lost, nothing comes from nowhere."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

ROUNDING_S = 1e-9


def crowded(scenario):
    """Make the application's servers so few that requests queue, and let one of them die."""
    portal = scenario["portal"]
    portal["tiers"]["app"] |= {"servers": 2, "workers": 2, "cores": 1, "queue_limit": None}
    portal["tiers"]["app"] |= {"balancing": "least_connections", "wait_limit": {"mean_s": 2.5}}
    portal["pools"]["db"] |= {"capacity": 1, "queue_limit": None, "wait_limit": {"mean_s": 1.5}}
    portal["gateways"]["pay"] |= {"concurrency": 1, "timeout_s": 2.5, "rate_limit_per_s": None}
    work = {"distribution": "exponential", "mean_s": 1.0}
    rows = [{"take": "app"}, {"take": "db"}, {"cpu": "app", "work": work}, {"call": "pay"}]
    rows += [{"release": "db"}, {"cpu": "web", "work": work}, {"transfer": "uplink"}]
    portal["endpoints"]["page"]["program"] = rows
    lost = {"kind": "server_lost", "target": "app", "servers": 1}
    scenario["faults"] = [lost | {"from_s": s, "to_s": s + 1.5} for s in (2.0, 5.5, 8.0)]


def unchanged(scenario):
    """Leave it as it was drawn."""


@pytest.mark.parametrize("change", [unchanged, crowded])
@SETTINGS
@given(data=st.data())
def test_a_run_that_ends_empty_has_given_everything_back(change, cases, data):
    """Arrivals = departures at every station, and in the last interval nothing is busy."""
    case = data.draw(cases()).changed(change)
    levels = case.records().levels.to_pandas()
    assert (levels[["busy_mean", "queue_mean", "arrivals", "departures"]] >= 0).all(axis=None)
    assert levels["to_s"].max() < 2 * case.scenario["window"]["duration_s"]
    for station, rows in levels.groupby("station", observed=True):
        assert rows["arrivals"].sum() == rows["departures"].sum(), station
        last = rows[rows["to_s"] == rows["to_s"].max()].iloc[0]
        assert last["busy_mean"] == 0.0, station
        assert last["queue_mean"] == 0.0, station
        assert last["queue_max"] == 0.0, station


@SETTINGS
@given(data=st.data())
def test_levels_cover_the_run_without_a_gap_and_keep_their_bounds(cases, data):
    case = data.draw(cases())
    levels = case.records().levels.to_pandas()
    balanced = {name.replace("[0]", "") for name in levels["station"] if "[0]" in name}
    for station, rows in levels.groupby("station", observed=True):
        starts, ends = rows["from_s"].to_numpy(), rows["to_s"].to_numpy()
        assert starts[0] == 0.0
        assert (starts[1:] == ends[:-1]).all()
        assert ends[-1] == levels["to_s"].max()
        assert (rows["busy_mean"] >= -ROUNDING_S).all()
        # Of several servers together the mean is a sum, and the maximum that of one of them.
        if station not in balanced:
            assert (rows["queue_mean"] <= rows["queue_max"] + ROUNDING_S).all()


@SETTINGS
@given(data=st.data())
def test_nothing_is_busier_than_its_capacity_while_nothing_breaks_or_scales(cases, data):
    def fixed(scenario):
        for tier in scenario["portal"]["tiers"].values():
            tier["autoscaling"] = None

    case = data.draw(cases(with_faults=False)).changed(fixed)
    levels = case.records().levels.to_pandas()
    assert (levels["busy_mean"] <= levels["capacity"] * (1 + ROUNDING_S)).all()
    used = levels["utilisation"].dropna()
    assert used.between(0.0, 1.0 + ROUNDING_S).all()


@SETTINGS
@given(data=st.data())
def test_attempts_follow_one_another_as_a_client_makes_them(cases, data):
    case = data.draw(cases())
    records = case.records()
    requests, sessions = records.requests.to_pandas(), records.sessions.to_pandas()
    retries = case.scenario["clients"]["person"]["retries"]
    counts = requests.groupby("session").size().reindex(sessions["session"], fill_value=0)
    assert (counts.to_numpy() == sessions["requests"].to_numpy()).all()
    assert sessions["arrival_s"].tolist() == case.arrival_s
    assert (requests["wait_s"] >= 0).all()
    assert (requests["wait_s"] <= requests["response_s"] + ROUNDING_S).all()
    assert (requests["due_s"] == requests["sent_s"]).all()
    for (_, _), rows in requests.groupby(["session", "step"]):
        assert rows["attempt"].tolist() == list(range(len(rows)))
        assert len(rows) <= retries + 1
        assert (rows["outcome"].iloc[:-1] != "ok").all()
        assert rows["outcome"].iloc[-1] == "ok" or len(rows) == retries + 1
        answered_s = (rows["sent_s"] + rows["response_s"]).to_numpy()
        assert (rows["sent_s"].to_numpy()[1:] >= answered_s[:-1] - ROUNDING_S).all()


@SETTINGS
@given(data=st.data())
def test_sessions_end_with_their_last_answer_and_as_it_was(cases, data):
    records = data.draw(cases()).records()
    requests = records.requests.to_pandas()
    requests["answered_s"] = requests["sent_s"] + requests["response_s"]
    last = requests.groupby(["session", "step"])["outcome"].last()
    for row in records.sessions.to_pandas().itertuples():
        own = requests[requests["session"] == row.session]
        ok = (last.loc[row.session] == "ok").all()
        assert row.outcome == ("completed" if ok else "abandoned")
        assert own["sent_s"].min() >= row.arrival_s - ROUNDING_S
        assert own["answered_s"].max() <= row.end_s + ROUNDING_S


@SETTINGS
@given(data=st.data())
def test_a_dossier_is_on_file_for_every_good_answer_and_at_most_for_every_client_who_left(
    cases, data
):
    case = data.draw(cases())
    records = case.records()
    dossiers, requests = records.dossiers.to_pandas(), records.requests.to_pandas()
    filing = requests[requests["endpoint"] == "submit"].set_index(["session", "step", "attempt"])
    rows = filing.loc[list(dossiers[["session", "step", "attempt"]].itertuples(index=False))]
    outcomes = dossiers["outcome"].astype(str).to_numpy()
    good = rows["outcome"].astype(str).to_numpy() == "ok"
    assert ((outcomes == "acknowledged") == good).all()
    assert good.sum() == (filing["outcome"] == "ok").sum()
    assert (rows[~good]["outcome"] == "abandoned").all()
    np.testing.assert_allclose(
        dossiers["acknowledged_s"][good], (rows["sent_s"] + rows["response_s"])[good]
    )
    synced = dossiers.dropna(subset=["synced_s"])
    assert (synced["synced_s"] >= synced["submitted_s"]).all()


@SETTINGS
@given(data=st.data())
def test_the_time_requests_waited_is_the_time_the_queues_were_long(cases, data, area):
    """With patient clients Σ wait = Σ ∫ queue over everything that is waited for."""

    def patient(scenario):
        scenario["clients"]["person"]["patience"] = None

    records = data.draw(cases(with_patience=False)).changed(patient).records()
    queues = [area(records, name, "queue_mean") for name in ("app.workers", "db", "pay")]
    waits = records.requests["wait_s"].to_numpy().sum()
    assert sum(queues) == pytest.approx(waits, rel=ROUNDING_S, abs=ROUNDING_S)


@SETTINGS
@given(data=st.data())
def test_one_request_alone_takes_the_sum_of_its_parts(cases, data):
    """Constant times, nobody else: round trip + works + delays + latencies + upload."""

    def quiet(scenario):
        for job in scenario["portal"]["jobs"].values():
            job["initial_queue"] = 0
        for gateway in scenario["portal"]["gateways"].values():
            gateway |= {"error_share": 0.0, "timeout_s": None, "burst": 4}

    case = data.draw(
        cases(("constant",), with_faults=False, with_patience=False, most_sessions=1)
    ).changed(quiet)
    alone = case.asks[0][:1]
    request = (
        case.__class__(case.scenario, case.arrival_s, [alone], case.channel, case.run)
        .records()
        .requests.to_pylist()[0]
    )
    portal = case.scenario["portal"]
    channel = list(case.scenario["channels"].values())[case.channel[0]]
    rate = min(channel["uplink_bit_per_s"], portal["links"]["uplink"]["bandwidth_bit_per_s"])
    expected = channel.get("round_trip_s", 0.0)
    for row in portal["endpoints"][request["endpoint"]]["program"]:
        if "call" in row:
            expected += portal["gateways"][row["call"]]["latency"]["mean_s"]
        elif "transfer" in row:
            expected += 8 * request["bytes_up"] / rate
        else:
            expected += row.get("work", row.get("delay", {"mean_s": 0.0}))["mean_s"]
    assert request["outcome"] == "ok"
    assert request["response_s"] == pytest.approx(expected, rel=ROUNDING_S)
    assert request["wait_s"] == 0.0
