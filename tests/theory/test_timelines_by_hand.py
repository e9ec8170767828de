"""Timelines worked out by hand: faults, sharing, limits, scaling, jobs, balancing, patience."""

import math

import numpy as np
import pytest

from sim.demand.trace import TOGETHER, WHILE_SYNCING
from sim.scenario.scenario import Scenario
from sim.streams import uniform

MBIT_BYTES = 125_000
"""Bytes in a million bits."""


TWO_SERVERS = {"servers": 2, "workers": 1, "balancing": "round_robin"}
SCALING = {
    "min_servers": 1,
    "max_servers": 4,
    "target_utilisation": 0.5,
    "period_s": 10,
    "boot_s": 5,
    "cooldown_s": 20,
}


def responses(records):
    return records.requests["response_s"].to_pylist()


def outcomes(records):
    return records.requests["outcome"].to_pylist()


def endpoints(**programs):
    return {
        name: {"group": "all_of_them", "program": program} for name, program in programs.items()
    }


def levels_of(records, station, column):
    table = records.levels.to_pandas()
    return table[table["station"] == station][column].tolist()


class TestSharing:
    def test_a_link_is_shared_max_min_fair(self, one_endpoint, run_of, area):
        """10 Mbit/s: slow client at his 2; two fast ones share the other 8, then one has 8."""
        portal = one_endpoint(
            [{"transfer": "uplink"}], links={"uplink": {"bandwidth_bit_per_s": 10e6}}
        )
        channels = {
            "slow": {"share": 0.5, "uplink_bit_per_s": 2e6},
            "fast": {"share": 0.5, "uplink_bit_per_s": 100e6},
        }
        asks = [[{"bytes_up": mbit * MBIT_BYTES}] for mbit in (10, 12, 24)]
        records = run_of(
            portal, [0.0] * 3, each=asks, channel=[0, 1, 1], blocks={"channels": channels}
        )
        assert responses(records) == pytest.approx([5.0, 3.0, 4.5], rel=1e-12)
        assert area(records, "uplink", "busy_mean") == pytest.approx(46e6)

    def test_a_slowed_link_carries_a_tenth(self, one_endpoint, run_of):
        portal = one_endpoint(
            [{"transfer": "uplink"}], links={"uplink": {"bandwidth_bit_per_s": 10e6}}
        )
        fault = {"kind": "link_slow", "target": "uplink", "from_s": 0.5, "to_s": 2.5, "factor": 10}
        records = run_of(portal, [0.0], [{"bytes_up": 10 * MBIT_BYTES}], blocks={"faults": [fault]})
        assert responses(records) == pytest.approx([2.8])

    def test_a_request_without_an_upload_passes_a_link_at_once(self, one_endpoint, run_of):
        portal = one_endpoint(
            [{"transfer": "uplink"}], links={"uplink": {"bandwidth_bit_per_s": 1e6}}
        )
        assert responses(run_of(portal, [0.0])) == [0.0]

    def test_two_cores_are_shared_among_three(self, run_of):
        """Works 1, 2, 3 at 0 and 1 at 2: two thirds of a core each, then a core each, then less."""
        portal = {
            "tiers": {"app": {"cores": 2}},
            "endpoints": endpoints(
                one=[{"cpu": "app", "work": 1}],
                two=[{"cpu": "app", "work": 2}],
                three=[{"cpu": "app", "work": 3}],
            ),
        }
        asks = [[{"endpoint": i}] for i in (0, 1, 2, 0)]
        records = run_of(portal, [0.0, 0.0, 0.0, 2.0], each=asks)
        assert responses(records) == pytest.approx([1.5, 2.75, 3.75, 1.25], rel=1e-12)

    def test_a_slowed_tier_works_on_at_half_speed(self, one_endpoint, run_of, area):
        portal = one_endpoint([{"cpu": "app", "work": 2.5}], tiers={"app": {}})
        fault = {"kind": "tier_slow", "target": "app", "from_s": 1.0, "to_s": 3.0, "factor": 2}
        records = run_of(portal, [0.0], blocks={"faults": [fault]})
        assert responses(records) == [3.5]
        assert area(records, "app.cpu", "busy_mean") == pytest.approx(3.5)


class TestHolding:
    def test_what_was_taken_last_is_given_back_first(self, run_of):
        """At 10 both a worker and a connection come free; whoever gets the connection computes."""
        compute = {"cpu": "one_core", "work": "1 s"}
        programs = {
            "both": [{"take": "app"}, {"take": "db"}, {"delay": "10 s"}],
            "worker": [{"take": "app"}, compute],
            "connection": [{"take": "db"}, compute],
        }
        portal = {
            "tiers": {"app": {"workers": 1}, "one_core": {"discipline": "fcfs"}},
            "pools": {"db": {"capacity": 1}},
            "endpoints": {
                name: {"group": "all_of_them", "program": program}
                for name, program in programs.items()
            },
        }
        each = [[{"endpoint": endpoint}] for endpoint in range(3)]
        assert responses(run_of(portal, [0.0, 1.0, 2.0], each=each)) == [10.0, 11.0, 9.0]


class TestGateways:
    def test_queueing_counts_against_the_timeout(self, one_endpoint, run_of, area):
        """Of 1 s each, one at a time: the second has 0.7 s left when its turn comes."""
        gateway = {"latency": "1 s", "timeout_s": 1.5, "concurrency": 1}
        records = run_of(
            one_endpoint([{"call": "pay"}], gateways={"pay": gateway}), [0.0, 0.2, 0.4]
        )
        assert outcomes(records) == ["ok", "timed_out", "timed_out"]
        assert responses(records) == pytest.approx([1.0, 1.5, 1.5])
        assert records.requests["wait_s"].to_pylist() == pytest.approx([0.0, 0.8, 1.3])
        assert area(records, "pay", "busy_mean") == pytest.approx(1.9)

    def test_an_optional_call_that_times_out_does_not_fail_the_request(self, one_endpoint, run_of):
        gateway = {"latency": "9 s", "timeout_s": 2}
        portal = one_endpoint([{"call": "pay", "optional": True}], gateways={"pay": gateway})
        records = run_of(portal, [0.0])
        assert (outcomes(records), responses(records)) == (["ok"], [2.0])

    def test_the_rate_limit_is_a_token_bucket(self, one_endpoint, run_of):
        """Two tokens at first, one more a second: 2, 1.1, 0.2 refused, 1.05, 0.5 refused."""
        gateway = {"latency": "10 ms", "rate_limit_per_s": 1, "burst": 2}
        records = run_of(
            one_endpoint([{"call": "pay"}], gateways={"pay": gateway}), [0.0, 0.1, 0.2, 1.05, 1.5]
        )
        assert outcomes(records) == ["ok", "ok", "failed", "ok", "failed"]
        assert responses(records)[2] == 0.0

    def test_a_bucket_never_holds_more_than_its_burst(self, one_endpoint, run_of):
        gateway = {"latency": "0 s", "rate_limit_per_s": 1, "burst": 2}
        records = run_of(
            one_endpoint([{"call": "pay"}], gateways={"pay": gateway}), [100.0, 100.0, 100.0]
        )
        assert outcomes(records) == ["ok", "ok", "failed"]

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("gateway_silent", [(1.0, "ok"), (5.0, "timed_out"), (4.0, "ok"), (1.0, "ok")]),
            ("gateway_slow", [(1.0, "ok"), (3.0, "ok"), (3.0, "ok"), (1.0, "ok")]),
            ("gateway_down", [(1.0, "ok"), (0.0, "failed"), (0.0, "failed"), (1.0, "ok")]),
        ],
    )
    def test_a_fault_of_a_gateway_strikes_the_calls_made_during_it(
        self, kind, expected, one_endpoint, run_of
    ):
        """Fault from 10 to 20; calls at 9.5, 12, 17 and 20.5, each of 1 s, at most 5 s."""
        fault = {"kind": kind, "target": "pay", "from_s": 10, "to_s": 20}
        if kind == "gateway_slow":
            fault["factor"] = 3
        portal = one_endpoint(
            [{"call": "pay"}], gateways={"pay": {"latency": "1 s", "timeout_s": 5}}
        )
        records = run_of(portal, [9.5, 12.0, 17.0, 20.5], blocks={"faults": [fault]})
        assert list(zip(responses(records), outcomes(records), strict=True)) == expected

    def test_what_is_broken_from_the_start_is_so_for_whoever_comes_at_the_start(
        self, one_endpoint, run_of
    ):
        fault = {"kind": "gateway_down", "target": "pay", "from_s": 0, "to_s": 1}
        portal = one_endpoint([{"call": "pay"}], gateways={"pay": {"latency": "1 s"}})
        records = run_of(portal, [0.0, 1.0], blocks={"faults": [fault]})
        assert outcomes(records) == ["failed", "ok"]

    def test_a_fault_that_begins_when_another_ends_is_not_mended_with_it(
        self, one_endpoint, run_of
    ):
        """Twice slower from 10 to 20, four times from 20 to 30, whatever the order of listing."""
        slow = {"kind": "gateway_slow", "target": "pay"}
        faults = [
            slow | {"from_s": 20, "to_s": 30, "factor": 4},
            slow | {"from_s": 10, "to_s": 20, "factor": 2},
        ]
        portal = one_endpoint([{"call": "pay"}], gateways={"pay": {"latency": "1 s"}})
        records = run_of(portal, [12.0, 22.0, 32.0], blocks={"faults": faults})
        assert responses(records) == [2.0, 4.0, 1.0]

    def test_a_slow_gateway_starves_the_endpoints_that_do_not_call_it(self, run_of):
        """Ten worker threads, all held by callers that wait: a page of 10 ms waits for seconds."""
        portal = {
            "tiers": {"app": {"cores": 4, "workers": 10}},
            "gateways": {"pay": {"latency": "200 ms"}},
            "endpoints": endpoints(
                page=[{"take": "app"}, {"cpu": "app", "work": "10 ms"}],
                fee=[{"take": "app"}, {"call": "pay"}],
            ),
        }
        fault = {"kind": "gateway_slow", "target": "pay", "from_s": 100, "to_s": 200, "factor": 100}
        arrival_s = np.repeat(np.arange(0, 300, 0.5), 2) + np.tile([0.0, 0.25], 600)
        asks = [[{"endpoint": i % 2}] for i in range(len(arrival_s))]
        records = run_of(
            portal,
            arrival_s,
            each=asks,
            duration_s=300.0,
            blocks={"faults": [fault], "execution": {"level_interval_s": 50}},
        )
        requests = records.requests.to_pandas()
        pages = requests[requests["endpoint"] == "page"]
        during = pages["sent_s"].between(150, 200)
        before = pages["sent_s"] < 100
        assert pages[before]["response_s"].max() == pytest.approx(0.01)
        assert pages[during]["response_s"].min() > 1.0
        assert levels_of(records, "app.workers", "utilisation")[3] == pytest.approx(1.0)
        assert levels_of(records, "app.cpu", "utilisation")[3] < 0.01


class TestLostServers:
    def test_requests_of_a_lost_server_fail_and_it_comes_back(self, one_endpoint, run_of):
        """Servers in turn; the second is lost from 5 to 15 with one in service and one queueing."""
        portal = one_endpoint([{"take": "app"}, {"delay": "10 s"}], tiers={"app": TWO_SERVERS})
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 15, "servers": 1}
        records = run_of(portal, [0.0, 1.0, 2.0, 3.0, 6.0, 16.0, 17.0], blocks={"faults": [fault]})
        ok, failed = "ok", "failed"
        assert outcomes(records) == [ok, failed, ok, failed, ok, ok, ok]
        assert responses(records) == [10.0, 4.0, 18.0, 2.0, 24.0, 24.0, 10.0]

    def test_without_any_server_a_worker_is_refused_and_computing_fails(self, run_of):
        portal = {
            "tiers": {"app": {"balancing": "round_robin"}},
            "endpoints": endpoints(
                held=[{"take": "app"}, {"cpu": "app", "work": 1}], bare=[{"cpu": "app", "work": 1}]
            ),
        }
        fault = {"kind": "server_lost", "target": "app", "from_s": 1, "to_s": 2, "servers": 1}
        records = run_of(
            portal, [1.5, 1.5], each=[[{"endpoint": i}] for i in (0, 1)], blocks={"faults": [fault]}
        )
        assert outcomes(records) == ["rejected", "failed"]

    def test_behind_one_queue_only_capacity_is_lost(self, one_endpoint, run_of):
        """Two cores, two works of 5: half speed from 2 to 6."""
        portal = one_endpoint([{"cpu": "app", "work": 5}], tiers={"app": {"servers": 2}})
        fault = {"kind": "server_lost", "target": "app", "from_s": 2, "to_s": 6, "servers": 1}
        records = run_of(portal, [0.0, 0.0], blocks={"faults": [fault]})
        assert responses(records) == [7.0, 7.0]

    def test_overlapping_faults_give_back_what_each_took(self, one_endpoint, run_of):
        portal = one_endpoint([{"delay": 1}], tiers={"app": {"servers": 3}})
        faults = [
            {"kind": "server_lost", "target": "app", "from_s": 1, "to_s": 3, "servers": 2},
            {"kind": "server_lost", "target": "app", "from_s": 2, "to_s": 4, "servers": 2},
        ]
        records = run_of(
            portal, [5.0], blocks={"faults": faults, "execution": {"level_interval_s": 1}}
        )
        assert levels_of(records, "app.cpu", "capacity")[:5] == [3.0, 1.0, 0.0, 2.0, 3.0]

    def test_tokens_of_a_lost_server_are_given_back_everywhere(self, one_endpoint, run_of):
        """At 12 the second server dies with the one connection; the first server's request, which
        waits for it since 11, goes on at once.
        """
        portal = one_endpoint(
            [{"take": "app"}, {"take": "db"}, {"delay": "10 s"}],
            tiers={"app": TWO_SERVERS},
            pools={"db": {"capacity": 1}},
        )
        fault = {"kind": "server_lost", "target": "app", "from_s": 12, "to_s": 13, "servers": 1}
        records = run_of(portal, [0.0, 10.0, 11.0], blocks={"faults": [fault]})
        assert responses(records) == [10.0, 2.0, 11.0]
        assert outcomes(records) == ["ok", "failed", "ok"]

    def test_a_token_granted_to_a_request_that_dies_goes_on_to_the_next(self, run_of):
        """Of the second server die, at 5, the holder of the connection and the first who waits for
        it; the second who waits is on the first server and has it from 5 to 15.
        """
        portal = {
            "tiers": {"app": {"servers": 2, "balancing": "round_robin"}},
            "pools": {"db": {"capacity": 1}},
            "endpoints": endpoints(
                use=[{"take": "app"}, {"take": "db"}, {"delay": 10}], page=[{"take": "app"}]
            ),
        }
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 6, "servers": 1}
        asks = [[{"endpoint": i}] for i in (1, 0, 1, 0, 0)]
        records = run_of(portal, [0.0, 1.0, 1.5, 2.0, 3.0], each=asks, blocks={"faults": [fault]})
        assert outcomes(records) == ["ok", "failed", "ok", "failed", "ok"]
        assert responses(records) == [0.0, 4.0, 0.0, 3.0, 12.0]

    @pytest.mark.parametrize(("discipline", "response_s"), [("ps", 10.5), ("fcfs", 8.0)])
    def test_a_request_that_dies_leaves_the_processor_of_another_tier(
        self, discipline, response_s, run_of
    ):
        """It computes there from 1 until it dies at 5; the other comes at 3.

        Sharing: half a core from 3 to 5 does 1 of 9.5, the rest has the core alone. In turn: the
        other begins at 5 and takes 6.
        """
        work_s = {"ps": 9.5, "fcfs": 6.0}[discipline]
        portal = {
            "tiers": {
                "app": {"servers": 1, "balancing": "round_robin"},
                "search": {"discipline": discipline},
            },
            "endpoints": endpoints(
                held=[{"take": "app"}, {"cpu": "search", "work": 20}],
                bare=[{"cpu": "search", "work": work_s}],
            ),
        }
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 6, "servers": 1}
        records = run_of(
            portal, [1.0, 3.0], each=[[{"endpoint": i}] for i in (0, 1)], blocks={"faults": [fault]}
        )
        assert outcomes(records) == ["failed", "ok"]
        assert responses(records) == [4.0, response_s]

    def test_a_request_outlives_a_server_that_it_has_left(self, run_of):
        """One released its worker, one computed there without a worker; both are elsewhere at 5."""
        portal = {
            "tiers": {"app": {"servers": 1, "balancing": "round_robin"}},
            "endpoints": endpoints(
                released=[{"take": "app"}, {"delay": 1}, {"release": "app"}, {"delay": 10}],
                computed=[{"cpu": "app", "work": 1}, {"delay": 10}],
                held=[{"take": "app"}, {"delay": 11}],
            ),
        }
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 6, "servers": 1}
        asks = [[{"endpoint": i}] for i in range(3)]
        records = run_of(portal, [0.0] * 3, each=asks, blocks={"faults": [fault]})
        assert outcomes(records) == ["ok", "ok", "failed"]

    def test_a_request_that_dies_leaves_the_link(self, run_of):
        """Both at 5 of 10 Mbit/s from 3 to 5, then the other alone: 10 + 30 Mbit."""
        portal = {
            "tiers": {"app": {"servers": 1, "balancing": "round_robin"}},
            "links": {"uplink": {"bandwidth_bit_per_s": 10e6}},
            "endpoints": endpoints(
                held=[{"take": "app"}, {"transfer": "uplink"}], bare=[{"transfer": "uplink"}]
            ),
        }
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 6, "servers": 1}
        asks = [[{"endpoint": 0, "bytes_up": 100 * MBIT_BYTES}]]
        asks += [[{"endpoint": 1, "bytes_up": 40 * MBIT_BYTES}]]
        records = run_of(portal, [1.0, 3.0], each=asks, blocks={"faults": [fault]})
        assert outcomes(records) == ["failed", "ok"]
        assert responses(records) == pytest.approx([4.0, 5.0])

    def test_who_died_in_a_queue_does_not_leave_it_again_at_the_wait_limit(
        self, one_endpoint, run_of
    ):
        """The third waits behind the second on the second server, dies at 5, had until 6."""
        tier = TWO_SERVERS | {"wait_limit": "4 s"}
        portal = one_endpoint([{"take": "app"}, {"delay": "10 s"}], tiers={"app": tier})
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 7, "servers": 1}
        records = run_of(
            portal,
            [0.0, 0.0, 1.0, 2.0],
            duration_s=30.0,
            blocks={"faults": [fault], "execution": {"level_interval_s": 60}},
        )
        assert outcomes(records) == ["ok", "failed", "timed_out", "failed"]
        assert levels_of(records, "app.workers", "arrivals") == [4]
        assert levels_of(records, "app.workers", "departures") == [4]


class TestScaling:
    def test_servers_follow_the_load_after_their_boot_time(self, one_endpoint, run_of):
        """One core busy from 0 to 30. Looks: 1/1 → 2 at 15; 10/15 → 3 at 25; 10/25 → 3; idle from
        then, but the last server came at 25: down to 1 at 50.
        """
        tier = {"servers": 1, "autoscaling": SCALING}
        portal = one_endpoint([{"cpu": "app", "work": 30}], tiers={"app": tier})
        records = run_of(
            portal, [0.0], duration_s=60.0, blocks={"execution": {"level_interval_s": 5}}
        )
        capacity = levels_of(records, "app.cpu", "capacity")
        assert capacity == [1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 1, 1]

    def test_a_server_taken_away_finishes_what_it_has(self, one_endpoint, run_of):
        """Two servers in turn; nearly idle, the second goes at 20 with its request to 33."""
        scaling = SCALING | {"target_utilisation": 0.9, "cooldown_s": 20}
        tier = {"servers": 2, "workers": 1, "balancing": "round_robin", "autoscaling": scaling}
        portal = one_endpoint([{"take": "app"}, {"delay": "30 s"}], tiers={"app": tier})
        records = run_of(
            portal,
            [1.0, 3.0, 40.0],
            duration_s=50.0,
            blocks={"execution": {"level_interval_s": 10}},
        )
        assert outcomes(records) == ["ok"] * 3
        assert responses(records) == [30.0] * 3
        assert levels_of(records, "app[1].workers", "capacity")[:4] == [1.0, 0.0, 0.0, 0.0]
        assert levels_of(records, "app[1].workers", "busy_mean")[3] == pytest.approx(0.3)

    def test_a_lost_server_is_the_one_taken_out_of_service(self, one_endpoint, run_of):
        """Scaling down while the second server is lost does not touch the first."""
        scaling = SCALING | {"target_utilisation": 0.9, "cooldown_s": 0}
        tier = {"servers": 2, "balancing": "round_robin", "autoscaling": scaling}
        portal = one_endpoint([{"take": "app"}, {"delay": "30 s"}], tiers={"app": tier})
        fault = {"kind": "server_lost", "target": "app", "from_s": 5, "to_s": 25, "servers": 1}
        records = run_of(portal, [0.0, 12.0], duration_s=50.0, blocks={"faults": [fault]})
        assert (outcomes(records), responses(records)) == (["ok"] * 2, [30.0] * 2)

    def test_a_pool_that_every_server_has_grows_with_a_shared_tier(self, one_endpoint, run_of):
        tier = {"servers": 1, "autoscaling": SCALING}
        portal = one_endpoint(
            [{"take": "app"}, {"take": "db"}, {"cpu": "app", "work": 30}],
            tiers={"app": tier},
            pools={"db": {"capacity": 5, "per_server_of": "app"}},
        )
        records = run_of(
            portal, [0.0], duration_s=60.0, blocks={"execution": {"level_interval_s": 5}}
        )
        assert levels_of(records, "db", "capacity")[:6] == [5, 5, 5, 10, 10, 15]


class TestJobs:
    @staticmethod
    def portal(**job):
        """Every request files a dossier and queues one item of 3 s."""
        job = {"period_s": 5, "batch": 2, "offset_s": 5, "program": [{"delay": 3}]} | job
        program = [{"enqueue": "sync"}]
        return {
            "tiers": {"spare": {}},
            "jobs": {"sync": job},
            "endpoints": {"e": {"group": "all_of_them", "program": program, "files_dossier": True}},
        }

    @pytest.mark.parametrize(
        ("skip", "synced"), [(True, [8.0, 11.0, 18.0]), (False, [8.0, 11.0, 14.0])]
    )
    def test_a_batch_at_every_tick_skipped_while_the_last_one_runs(self, skip, synced, run_of):
        """Ticks at 5, 10, 15; two items from 5 to 11 in turn; the third waits for a tick."""
        records = run_of(self.portal(skip_if_running=skip), [1.0, 2.0, 3.0])
        assert records.dossiers["synced_s"].to_pylist() == synced
        assert records.dossiers["acknowledged_s"].to_pylist() == [1.0, 2.0, 3.0]

    def test_the_queues_age_is_the_longest_that_its_first_waited(self, run_of):
        """To the end of an interval without any event as well: from 0 to 5 the first waited 4 s."""
        records = run_of(
            self.portal(), [1.0, 2.0, 3.0], blocks={"execution": {"level_interval_s": 5}}
        )
        assert levels_of(records, "sync", "queue_age_max_s") == [4.0, 7.0, 12.0, 12.0]
        assert levels_of(records, "sync", "queue_max") == [3.0, 3.0, 1.0, 1.0]

    def test_an_item_that_is_worked_on_does_not_age_the_queue_it_comes_back_to(self, run_of):
        """Queued at 1, worked on from 5 to 13, queued again until 15, worked on to 23."""
        portal = self.portal(program=[{"delay": "8 s"}, {"call": "npdb"}], batch=1, retries=1)
        portal["gateways"] = {"npdb": {"latency": "0 s"}}
        fault = {"kind": "gateway_down", "target": "npdb", "from_s": 0, "to_s": 20}
        blocks = {"faults": [fault], "execution": {"level_interval_s": 5}}
        records = run_of(portal, [1.0], blocks=blocks)
        assert levels_of(records, "sync", "queue_age_max_s") == [4.0, 4.0, 14.0, 14.0, 0.0]

    def test_items_are_worked_on_side_by_side_by_several_workers(self, run_of):
        records = run_of(self.portal(batch=3, workers=2), [1.0, 2.0, 3.0])
        assert records.dossiers["synced_s"].to_pylist() == [8.0, 8.0, 11.0]

    def test_an_item_that_fails_queues_again_until_it_is_given_up(self, run_of):
        """The gateway is down until 12: tries at ticks 5 and 10 fail, that at 15 succeeds."""
        portal = self.portal(program=[{"call": "npdb"}], batch=1, retries=2)
        portal["gateways"] = {"npdb": {"latency": "1 s"}}
        fault = {"kind": "gateway_down", "target": "npdb", "from_s": 0, "to_s": 12}
        records = run_of(portal, [1.0], blocks={"faults": [fault]})
        assert records.dossiers["synced_s"].to_pylist() == [16.0]
        portal["jobs"]["sync"]["retries"] = 1
        records = run_of(portal, [1.0], blocks={"faults": [fault]})
        assert math.isnan(records.dossiers["synced_s"].to_pylist()[0])

    def test_a_stopped_job_takes_nothing(self, run_of):
        fault = {"kind": "job_stopped", "target": "sync", "from_s": 4, "to_s": 12}
        records = run_of(self.portal(), [1.0], blocks={"faults": [fault]})
        assert records.dossiers["synced_s"].to_pylist() == [18.0]

    def test_a_backlog_goes_first_and_the_next_job_of_a_chain_gets_what_is_done(self, run_of, area):
        portal = self.portal(batch=1, initial_queue=1, then="archive")
        portal["jobs"]["archive"] = {"period_s": 100, "batch": 9, "program": [{"delay": 2}]}
        records = run_of(portal, [1.0])
        assert records.dossiers["synced_s"].to_pylist() == [13.0]
        assert area(records, "archive", "busy_mean") == pytest.approx(4.0)

    def test_an_item_that_succeeds_gives_one_to_each_job_its_program_names(self, run_of, area):
        portal = self.portal(batch=1, program=[{"delay": 3}, {"enqueue": "notice"}])
        portal["jobs"]["notice"] = {"period_s": 100, "batch": 9, "program": [{"delay": 2}]}
        records = run_of(portal, [1.0, 2.0])
        assert records.dossiers["synced_s"].to_pylist() == [8.0, 13.0]
        assert area(records, "notice", "busy_mean") == pytest.approx(4.0)

    def test_polls_stop_when_nothing_is_synchronised_any_more(self, run_of):
        """Polls at 3, 6 and 9 after filing at 1; synchronised at 8: thinking for the third ends
        without sending it, and alone or in pairs the rest is skipped.
        """
        poll = {"endpoint": 1, "think_s": 2.0, "flags": WHILE_SYNCING}
        portal = self.portal()
        portal["endpoints"] |= endpoints(status=[{"delay": 1}])
        alone = run_of(portal, [1.0], [{}] + [poll] * 5)
        assert alone.requests["sent_s"].to_pylist() == [1.0, 3.0, 6.0]
        assert alone.sessions["end_s"].to_pylist() == [9.0]
        pair = [poll, {"endpoint": 1, "flags": WHILE_SYNCING | TOGETHER}]
        pairs = run_of(portal, [1.0], [{}] + pair * 5)
        assert pairs.requests["sent_s"].to_pylist() == [1.0, 3.0, 3.0, 6.0, 6.0]
        assert pairs.sessions["end_s"].to_pylist() == [9.0]


class TestBalancing:
    @pytest.mark.parametrize(
        ("balancing", "waits"),
        [
            ("round_robin", [0.0, 0.0, 0.0, 7.0, 0.0, 8.0]),
            ("least_connections", [0.0, 0.0, 0.0, 0.0, 6.5, 0.5]),
            ("shared", [0.0, 0.0, 0.0, 0.0, 0.5, 1.5]),
        ],
    )
    def test_the_next_request_goes_where_the_policy_says(self, balancing, waits, run_of):
        """Three servers of one worker. Works 10, 1, 10, 1, 1, 1 at 0, 1, 1.5, 3, 3.5 and 3.5.

        In turn: the 4th waits for the first until 10, the 5th finds the second free, the 6th
        waits for the third until 11.5. Fewest: the 4th takes the second until 4; then all have
        one, so the 5th joins the first until 10, the 6th the second until 4. One queue: the 5th
        waits until 4, the 6th until 5.
        """
        portal = {
            "tiers": {"app": {"servers": 3, "workers": 1, "balancing": balancing}},
            "endpoints": endpoints(
                short=[{"take": "app"}, {"delay": 1}], long=[{"take": "app"}, {"delay": 10}]
            ),
        }
        asks = [[{"endpoint": i}] for i in (1, 0, 1, 0, 0, 0)]
        records = run_of(portal, [0.0, 1.0, 1.5, 3.0, 3.5, 3.5], each=asks)
        assert records.requests["wait_s"].to_pylist() == waits

    def test_work_without_a_worker_counts_as_a_connection_too(self, run_of):
        """The second finds the second server idle."""
        portal = {
            "tiers": {"app": {"servers": 2, "balancing": "least_connections"}},
            "endpoints": endpoints(
                long=[{"cpu": "app", "work": 10}], short=[{"cpu": "app", "work": 1}]
            ),
        }
        records = run_of(portal, [0.0, 1.0], each=[[{"endpoint": i}] for i in (0, 1)])
        assert responses(records) == [10.0, 1.0]

    def test_what_was_taken_last_is_given_back_first(self, run_of):
        """At 5 the first gives back both; who waits for the inner one is first at the core."""
        turn = {"cpu": "app", "work": 1}
        portal = {
            "tiers": {"app": {"discipline": "fcfs"}},
            "pools": {"outer": {"capacity": 1}, "inner": {"capacity": 1}},
            "endpoints": endpoints(
                both=[{"take": "outer"}, {"take": "inner"}, {"delay": 5}],
                one=[{"take": "outer"}, turn],
                other=[{"take": "inner"}, turn],
            ),
        }
        records = run_of(portal, [0.0, 1.0, 2.0], each=[[{"endpoint": i}] for i in range(3)])
        assert responses(records) == [5.0, 6.0, 4.0]

    def test_a_pool_of_every_server_is_the_chosen_servers_own(self, one_endpoint, run_of):
        """One connection each: the third request, on the first server, waits for the first."""
        portal = one_endpoint(
            [{"take": "app"}, {"take": "db"}, {"delay": 5}],
            tiers={"app": {"servers": 2, "balancing": "round_robin"}},
            pools={"db": {"capacity": 1, "per_server_of": "app"}},
        )
        records = run_of(portal, [0.0, 1.0, 2.0])
        assert records.requests["wait_s"].to_pylist() == [0.0, 0.0, 3.0]
        assert levels_of(records, "db[0]", "arrivals") == [2]
        assert levels_of(records, "db[1]", "arrivals") == [1]

    def test_limits_of_one_server_count_for_every_server_behind_one_queue(
        self, one_endpoint, run_of
    ):
        """Two servers, each one worker and one place: the fifth is rejected."""
        tier = {"servers": 2, "workers": 1, "queue_limit": 1}
        portal = one_endpoint([{"take": "app"}, {"delay": 5}], tiers={"app": tier})
        assert outcomes(run_of(portal, [0.0] * 5)) == ["ok"] * 4 + ["rejected"]


class TestClients:
    def test_the_server_works_on_for_a_client_who_has_left(self, one_endpoint, run_of, area):
        """One core in turn, works of 5: both leave after 2 s, the core is busy for 10."""
        portal = one_endpoint([{"cpu": "app", "work": 5}], tiers={"app": {"discipline": "fcfs"}})
        portal["endpoints"]["e"]["files_dossier"] = True
        records = run_of(portal, [0.0, 1.0], blocks={"clients": {"person": {"patience": "2 s"}}})
        assert (outcomes(records), responses(records)) == (["abandoned"] * 2, [2.0] * 2)
        assert area(records, "app.cpu", "busy_mean") == pytest.approx(10.0)
        assert records.dossiers["outcome"].to_pylist() == ["unacknowledged"] * 2
        assert records.sessions["end_s"].to_pylist() == [2.0, 3.0]

    def test_a_client_who_left_tries_again_while_the_first_attempt_is_still_worked_on(
        self, one_endpoint, run_of, area
    ):
        """Left at 2, sent again at 3; the core is free at 5, so the second ends at 10: left too."""
        portal = one_endpoint([{"cpu": "app", "work": 5}], tiers={"app": {"discipline": "fcfs"}})
        client = {"patience": "2 s", "retries": 1, "backoff_s": 1}
        records = run_of(portal, [0.0], blocks={"clients": {"person": client}})
        assert records.requests["sent_s"].to_pylist() == [0.0, 3.0]
        assert outcomes(records) == ["abandoned"] * 2
        assert area(records, "app.cpu", "busy_mean") == pytest.approx(10.0)

    def test_pauses_before_retries_grow_and_jitter_as_the_formula_says(
        self, one_endpoint, trace_of, scenario_dict, simulate
    ):
        portal = one_endpoint(
            [{"call": "pay"}], gateways={"pay": {"latency": "1 s", "error_share": 1.0}}
        )
        client = {"retries": 3, "backoff_s": 2, "backoff_factor": 3, "jitter": 0.5}
        scenario = Scenario.model_validate(scenario_dict(portal, 10.0, clients={"person": client}))
        trace = trace_of(scenario, [0.0])
        requests = simulate(scenario, 0, trace).requests
        sent_s = [0.0]
        for n in range(3):
            pause_s = 2 * 3**n * (1 - 0.5 * uniform(int(trace.key[0]), n, 1))
            sent_s.append(sent_s[-1] + 1.0 + pause_s)
        assert requests["sent_s"].to_pylist() == pytest.approx(sent_s, rel=1e-12)
        assert requests["attempt"].to_pylist() == [0, 1, 2, 3]
        assert requests["outcome"].to_pylist() == ["failed"] * 4

    def test_requests_sent_together_end_with_the_last_of_them(self, run_of):
        """Each of 2 s on one core in turn: a pair ends after 4, the next is sent 1 s later."""
        portal = {
            "tiers": {"app": {"discipline": "fcfs"}},
            "endpoints": endpoints(e=[{"cpu": "app", "work": 2}]),
        }
        records = run_of(portal, [0.0], [{}, {"flags": TOGETHER}, {"think_s": 1.0}])
        assert records.requests["sent_s"].to_pylist() == [0.0, 0.0, 5.0]
        assert responses(records) == [2.0, 4.0, 2.0]

    def test_the_round_trip_is_part_of_the_response_and_of_the_patience(self, one_endpoint, run_of):
        portal = one_endpoint([{"delay": 1}])
        channels = {"home": {"share": 1, "uplink_bit_per_s": 1e6, "round_trip_s": 0.25}}
        assert responses(run_of(portal, [0.0], blocks={"channels": channels})) == [1.25]
        clients = {"person": {"patience": 1.125}}
        records = run_of(portal, [0.0], blocks={"channels": channels, "clients": clients})
        assert (outcomes(records), responses(records)) == (["abandoned"], [1.125])

    def test_a_wait_limit_ends_the_wait_and_a_full_queue_refuses(self, one_endpoint, run_of):
        tier = {"workers": 1, "queue_limit": 1, "wait_limit": "2 s"}
        portal = one_endpoint([{"take": "app"}, {"delay": 5}], tiers={"app": tier})
        records = run_of(portal, [0.0, 1.0, 2.0, 4.0])
        assert outcomes(records) == ["ok", "timed_out", "rejected", "ok"]
        assert responses(records) == [5.0, 2.0, 0.0, 6.0]

    def test_a_program_that_failed_commits_nothing_and_gives_everything_back(self, run_of, area):
        portal = {
            "tiers": {"app": {"workers": 1}},
            "gateways": {"pay": {"latency": "1 s", "error_share": 1.0}},
            "jobs": {"sync": {"period_s": 1, "batch": 1}},
            "endpoints": {
                "e": {
                    "group": "all_of_them",
                    "program": [{"take": "app"}, {"enqueue": "sync"}, {"call": "pay"}],
                    "files_dossier": True,
                }
            },
        }
        records = run_of(portal, [0.0, 0.0])
        assert responses(records) == [1.0, 2.0]
        assert records.dossiers.num_rows == 0
        assert sum(levels_of(records, "sync", "arrivals")) == 0


class TestTheEnd:
    def test_what_ends_with_the_run_is_counted_in_its_last_interval(self, one_endpoint, run_of):
        """Leaves at 61, where the run ends and an interval as well."""
        portal = one_endpoint([{"take": "app"}, {"delay": 60.5}], tiers={"app": {"workers": 1}})
        records = run_of(
            portal, [0.5], duration_s=60.0, blocks={"execution": {"level_interval_s": 61}}
        )
        assert levels_of(records, "app.workers", "to_s") == [61.0]
        assert levels_of(records, "app.workers", "departures") == [1]

    def test_whoever_waits_at_the_end_of_the_drain_is_abandoned(self, one_endpoint, run_of):
        portal = one_endpoint([{"take": "app"}, {"delay": 100}], tiers={"app": {"workers": 1}})
        window = {"start": "2024-11-25T08:00", "duration_s": 10.0, "drain_s": 5.0}
        records = run_of(portal, [0.0, 4.0], blocks={"window": window})
        assert outcomes(records) == ["abandoned"] * 2
        assert responses(records) == [15.0, 11.0]
        assert records.requests["wait_s"].to_pylist() == [0.0, 11.0]
        assert records.sessions["end_s"].to_pylist() == [15.0] * 2
