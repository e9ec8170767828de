"""The load test as Locust loads it: ``locust -f loadtests/locustfile.py``.

\b
locust -f loadtests/locustfile.py --headless --scenario peak-hour --host http://127.0.0.1:8080
locust -f loadtests/locustfile.py --headless --processes 4 --scenario peak-hour --host http://…
locust -f loadtests/locustfile.py --master --expect-workers 8 --headless --scenario …
locust -f loadtests/locustfile.py --worker --master-host 10.0.0.1
"""

from locust import events

from loadtests import driver
from loadtests.driver import TraceUser
from loadtests.webui import attach

__all__ = ["TraceUser"]

driver.install(events)
attach.install(events)
