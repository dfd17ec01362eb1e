"""The numbers for Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from helpers.places.api import ToyRun
from helpers.places.api_client import call, enrol
from helpers.places.serve import ServedPage, served
from vehicle_reid import Gallery


def samples(page: ServedPage) -> dict[tuple[str, ...], float]:
    """Return the numbers by name, path, method, status and bucket."""
    answer = call(page, "/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.body.decode())
    labels = ("path", "method", "status", "le")
    return {
        (one.name, *(one.labels[label] for label in labels if label in one.labels)): one.value
        for family in families
        for one in family.samples
    }


def test_requests_are_counted_by_path_and_status_and_the_gallery_is_measured(toy_run: ToyRun, stored: Gallery) -> None:
    before, data = len(stored), toy_run.photos()[0].read_bytes()
    with served(stored, toy_run.root) as page:
        for _ in range(3):
            call(page, "/v1/search", "POST", data)
        call(page, "/v1/search", "POST", b"x")
        enrol(page, {"secret name.jpg": data})
        assert samples(page)["pgan_gallery_images",] == before + 1
        call(page, "/v1/vehicles/secret%20name.jpg", "DELETE")
        call(page, "/v1/secret")
        page.request("/photos/g0?words=secret")
        call(page, "/v1/search", "BREW")
        found = samples(page)
    for labels, count in (
        (("/v1/search", "POST", "200"), 3),
        (("/v1/search", "POST", "415"), 1),
        (("/v1/vehicles", "POST", "201"), 1),
        (("/v1/vehicles/{name}", "DELETE", "204"), 1),
        (("other", "GET", "404"), 1),
        (("page", "GET", "200"), 1),
        (("/v1/search", "other", "405"), 1),
    ):
        assert found["pgan_requests_total", *labels] == count, labels
    searches = "/v1/search"
    assert found["pgan_request_seconds_count", searches] == found["pgan_request_seconds_bucket", searches, "60.0"] == 5
    assert found["pgan_request_seconds_sum", searches] > 0
    assert found["pgan_gallery_images",] == before and found["pgan_queue_length",] == 0
    assert not any("secret" in part for sample in found for part in sample)
