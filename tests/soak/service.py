"""`serve` under load, killed, on a full disk, with a damaged gallery, and asked by hostile and unknown clients.

`python -m soak.service --seconds 60`, with PYTHONPATH=tests. A row for each fault, and a table of the load.
"""

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from random import Random

import click

from helpers.places.api import make_toy_run, small_networks
from helpers.places.api_client import Client, call, enrol
from helpers.places.serve import Answer
from helpers.places.service import Server, ServicePlace
from soak.hostile import AUTHORISED, TOKEN, hostile_requests, unauthorised
from soak.inputs.mutation import flipped
from soak.load import K, Load, load, print_loads, scores_of, wrong_answer
from soak.rows import Row, end_with
from vehicle_reid.gallery.lance.store import TABLE, LanceStore

CLIENTS, KILLS = 200, 10
SINGLE_SECONDS = 0.25  # of the time of the load, for the single client before it
DAMAGES = 6
MOST_MEMORY = 600 << 20  # bytes that hostile requests may add to the server's memory
FORM, PER_FORM = "form-", 2  # names, and images of a form that is enrolled while the server is killed
Vehicles = dict[str, int]  # ids by name


@dataclass
class Tally:
    """A fault, how often it was tried, and what was lost."""

    fault: str
    tries: int = 0
    lost: list[str] = field(default_factory=list)

    def count(self, *problems: str | None) -> None:
        """Count a try, and what was wrong with it."""
        self.tries += 1
        self.lost += [f"{self.fault}: {problem}" for problem in problems if problem]

    def row(self) -> Row:
        """Return the row of the closing table."""
        return Row(f"service: {self.fault}", self.tries, min(self.tries, len(self.lost)))


@dataclass(frozen=True)
class Soak:
    """A place to serve from, and photos to ask with."""

    place: ServicePlace
    photos: Sequence[bytes]
    random: Random

    def fill(self, server: Server) -> None:
        """Enrol all photos, unless they are there."""
        if not listed(server):
            for number, photo in enumerate(self.photos):
                answer = enrol(server, {"image": photo}, {"name": f"photo/{number:03}.jpg"})
                assert answer.status == 201, answer


@contextmanager
def new_soak(seed: int, *, shipped: bool = False) -> Iterator[Soak]:
    """Yield a place with toy photos; with `shipped` the network and the detector are the real ones that ship."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, small_networks():
        run = make_toy_run(Path(folder) / "toy")
        (Path(folder) / "place").mkdir()
        place = ServicePlace(Path(folder) / "place", None if shipped else run)
        yield Soak(place, [photo.read_bytes() for photo in run.photos()], Random(seed))


def listed(server: Client) -> Vehicles:
    """Return all images of the gallery."""
    found: Vehicles = {}
    while True:
        page = call(server, f"/v1/vehicles?count=1000&start={len(found)}").json
        found |= {one["name"]: one["id"] for one in page["vehicles"]}
        if not page["vehicles"]:
            assert len(found) == page["total"], f"{len(found)} images of {page['total']}"
            return found


def under_load(soak: Soak, seconds: float, clients: int = CLIENTS) -> tuple[Tally, list[Load]]:
    """Load the server by one client, then by many."""
    tally = Tally(f"{clients} clients")
    with soak.place.serving() as server:
        soak.fill(server)
        few = soak.photos[:10]
        loads = [
            load(server, few, 1, SINGLE_SECONDS * seconds, seed=0),
            load(server, few, clients, seconds, seed=1),
        ]
        for one in loads:
            tally.tries += one.findings.tries
            tally.lost += [f"{one.clients} clients: {problem}" for problem in one.problems()]
        tally.lost += [f"left behind: {name}" for name in listed(server) if name.startswith("load/")]
    return tally, loads


def killed(soak: Soak, kills: int = KILLS) -> Tally:
    """Kill the server amid enrolments and deletions: what it acknowledged is there, nothing is half there."""
    tally, told = Tally("kill -9 amid enrolments"), Acknowledged()
    for turn in range(kills + 1):
        with soak.place.serving("--keep-images") as server:
            if turn:
                tally.count(*wrong_after_kill(server, told.forms))
            if turn == kills:
                assert server.stop().code == 0
                break
            with ThreadPoolExecutor(2) as threads:
                sending = [threads.submit(told.enrol, server, soak.photos, f"{turn}-{who}") for who in range(2)]
                time.sleep(soak.random.uniform(0.3, 3))
                server.kill()
                for one in sending:
                    one.result()
    tally.lost += told.problems
    tally.count(None if LanceStore.open(str(soak.place.gallery), None).check() else "nothing was enrolled")
    return tally


@dataclass
class Acknowledged:
    """What a server that is killed has acknowledged: how many images each form has in the gallery, None if unknown."""

    forms: dict[str, int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def enrol(self, server: Server, photos: Sequence[bytes], who: str) -> None:
        """Enrol forms and delete every third, until the server is gone."""
        with suppress(OSError, HTTPException):
            for number in range(100_000):
                form = f"{FORM}{who}-{number}"
                images = {str(row): photos[(number + row) % len(photos)] for row in range(PER_FORM)}
                names = [f"{form}/{row}" for row in range(PER_FORM)]
                self._note(enrol(server, images, [{"name": name} for name in names]), 201)
                self.forms[form] = PER_FORM
                if number % 3 == 2:
                    self.forms[form] = None
                    for name in names:
                        self._note(call(server, f"/v1/vehicles/{name}", "DELETE"), 204)
                    self.forms[form] = 0

    def _note(self, answer: Answer, status: int) -> None:
        if answer.status != status:
            self.problems.append(str(answer))


def wrong_after_kill(server: Client, told: Mapping[str, int | None]) -> Iterator[str]:
    """Yield what is lost, half there or not gone, and pictures that cannot be shown."""
    found = {name: number for name, number in listed(server).items() if name.startswith(FORM)}
    forms = Counter(name.rpartition("/")[0] for name in found)
    for form, count in told.items():
        if count is not None and forms[form] != count:
            yield f"{form}: {forms[form]} images, and {count} were acknowledged"
    for form, count in forms.items():
        if form not in told and count != PER_FORM:
            yield f"{form}: {count} of {PER_FORM} images"
    for name, number in found.items():
        answer = server.request(f"/photos/g{number}/photo.jpg")
        if answer.status != 200:
            yield f"{name}: its picture: {answer.status} {answer.body!r}"


def full_disk(soak: Soak, most: int = 40) -> Tally:
    """Let the system refuse long files while images are enrolled: one line, none is lost, and the server goes on."""
    tally = Tally("full disk amid enrolments")
    with soak.place.serving("--keep-images") as server:
        soak.fill(server)
        wanted = scores_of(server, soak.photos[:1])[0]
        written = sorted({path.stat().st_size for path in soak.place.gallery.rglob("*") if path.is_file()})
        sizes = [0, 1, *(size - 1 for size in written)]
        for turn, size in enumerate(soak.random.sample(sizes, min(most, len(sizes)))):
            before, name = listed(server), f"full/{turn}"
            server.limit_files(size)
            images = {"a": soak.photos[0], "b": soak.photos[1]}
            answer = enrol(server, images, [{"name": f"{name}/a"}, {"name": f"{name}/b"}])
            search = call(server, f"/v1/search?k={K}", "POST", soak.photos[0])
            server.limit_files(None)
            after = listed(server)
            added = sorted(set(after) - set(before))
            tally.count(
                wrong_on_a_full_disk(answer, len(added)),
                None if before.items() <= after.items() else f"{size} bytes: {set(before) - set(after)} lost",
                None if search.status == 200 else f"{size} bytes: search: {search.status} {search.body!r}",
            )
            for one in added:
                gone = call(server, f"/v1/vehicles/{one}", "DELETE")
                tally.count(None if gone.status == 204 else f"delete afterwards: {gone}")
            again = enrol(server, images, [{"name": f"again/{turn}/a"}, {"name": f"again/{turn}/b"}])
            tally.count(None if again.status == 201 else f"{size} bytes: enrol afterwards: {again}")
            for one in ("a", "b"):
                call(server, f"/v1/vehicles/again/{turn}/{one}", "DELETE")
        answer = call(server, f"/v1/search?k={K}", "POST", soak.photos[0])
        tally.count(wrong_answer(answer.json["matches"], wanted))
        tally.count("a traceback on the terminal" if "Traceback" in server.run.output() else None)
        server.stop()
    LanceStore.open(str(soak.place.gallery), None).check()
    return tally


def wrong_on_a_full_disk(answer: Answer, added: int) -> str | None:
    """Return what is wrong with the answer to an enrolment of two images, of which `added` are there."""
    done = answer.status == 201 or b"the change is made" in answer.body
    if added != (2 if done else 0):
        return f"{added} images added: {answer}"
    if answer.status not in (201, 503) or (answer.status == 503 and set(answer.json) != {"error"}):
        return str(answer)
    return None


def damaged(soak: Soak, most: int = DAMAGES) -> Tally:
    """Damage the files of the gallery while it is served and before: never a wrong answer, and one line."""
    tally = Tally("damaged gallery")
    with soak.place.serving() as server:
        soak.fill(server)
        assert server.stop().code == 0
    sound = soak.place.folder / "sound"
    shutil.copytree(soak.place.gallery, sound)
    files = [path.relative_to(sound) for path in sorted((sound / f"{TABLE}.lance").rglob("*")) if path.is_file()]
    newest = [path for path in files if path.suffix in (".lance", ".manifest")]
    for turn in range(most):
        which, running = newest[turn % len(newest)], turn % 2 == 1
        change = ruin(soak.random, (sound / which).read_bytes())
        if running:
            with soak.place.serving() as server:
                wanted = scores_of(server, soak.photos[:1])[0]
                (soak.place.gallery / which).write_bytes(change)
                answer = call(server, f"/v1/search?k={K}", "POST", soak.photos[0])
                tally.count(wrong_or_refused(answer, wanted), wrong_health(server))
                renew(sound, soak.place.gallery)
                answer = call(server, f"/v1/search?k={K}", "POST", soak.photos[0])
                tally.count(wrong_answer(answer.json["matches"], wanted) if answer.status == 200 else str(answer))
        else:
            (soak.place.gallery / which).write_bytes(change)
            tally.count(wrong_start(soak.place))
            renew(sound, soak.place.gallery)
    shutil.rmtree(sound)
    return tally


def ruin(random: Random, data: bytes) -> bytes:
    """Return a file that is cut off, or has a flipped byte."""
    return data[: len(data) // 2] if random.random() < 0.5 else flipped(data, random.randrange(8 * len(data)))


def renew(sound: Path, gallery: Path) -> None:
    """Write the sound files again."""
    shutil.copytree(sound, gallery, dirs_exist_ok=True)


def wrong_or_refused(answer: Answer, wanted: Mapping[str, float]) -> str | None:
    """Return what is wrong with an answer that may be right or say that the gallery cannot be read."""
    if answer.status == 200:
        return wrong_answer(answer.json["matches"], dict(wanted))
    return None if answer.status == 503 and set(answer.json) == {"error"} else str(answer)


def wrong_start(place: ServicePlace) -> str | None:
    """Return what is wrong with a start on a damaged gallery: it serves, or ends with one line naming the folder."""
    run = place.start()
    end = time.monotonic() + 120
    while run.process.exitcode is None and "press Ctrl-C" not in run.output() and time.monotonic() < end:
        time.sleep(0.05)
    if run.process.exitcode is None:
        server = Server(run, 0, {})
        server.kill()
        return None if "press Ctrl-C" in run.output() else f"it hangs: {run.output()}"
    ended = run.wait()
    lines = ended.error_lines()
    sound = ended.code == 1 and len(lines) == 1 and str(place.gallery) in lines[0] and "Traceback" not in ended.output
    return None if sound else f"ended with {ended.code}: {ended.output[-400:]}"


def wrong_health(server: Server) -> str | None:
    """Return what is wrong with a server that should answer."""
    answer = call(server, "/health")
    return None if answer.status == 200 else f"health: {answer}"


def hostile(soak: Soak) -> Tally:
    """Send hostile photos, forms, names, headers and connections: each is refused, and the server goes on."""
    tally = Tally("hostile requests")
    with soak.place.serving() as server:
        soak.fill(server)
        before, wanted = listed(server), scores_of(server, soak.photos[:1])[0]
        memory = server.memory()
        for name, send in hostile_requests(soak.photos[0]):
            tally.count(*(f"{name}: {problem}" for problem in (send(server), wrong_health(server)) if problem))
        grown = server.memory() - memory
        answer = call(server, f"/v1/search?k={K}", "POST", soak.photos[0])
        tally.count(
            wrong_answer(answer.json["matches"], wanted),
            None if listed(server) == before else "the gallery has changed",
            f"memory grew by {grown >> 20} MiB" if grown > MOST_MEMORY else None,
            "a traceback on the terminal" if "Traceback" in server.run.output() else None,
        )
    return tally


def tokens(soak: Soak) -> Tally:
    """Ask without the token, or with one that is nearly right: nobody is let in."""
    tally, path = Tally("wrong tokens"), soak.place.folder / "tokens.txt"
    path.write_text(f"gate {TOKEN}\n", encoding="utf-8")
    with soak.place.serving("--tokens", str(path)) as server:
        for name, problem in unauthorised(server, soak.photos[0]):
            tally.count(problem and f"{name}: {problem}")
        right = [call(server, "/v1/vehicles", **AUTHORISED), call(server, "/health")]
        tally.count(*(f"the right token: {one}" for one in right if one.status != 200))
        told = server.run.output()
        tally.count("the terminal shows the token" if TOKEN in told else None)
    return tally


def service(
    seconds: float, seed: int, *, clients: int = CLIENTS, kills: int = KILLS, shipped: bool = False
) -> list[Row]:
    """Try everything, the load for a third of the time, and return a row for each fault; print what was lost."""
    tallies = []
    with new_soak(seed, shipped=shipped) as soak:
        tally, loads = under_load(soak, seconds / 3, clients)
        print_loads(loads)
        tallies.append(tally)
        tallies += [killed(soak, kills), full_disk(soak), damaged(soak), hostile(soak), tokens(soak)]
    print(*(line for one in tallies for line in one.lost), sep="\n", file=sys.stderr)
    return [one.row() for one in tallies]


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Of the load by many clients."
)
@click.option("--clients", type=click.IntRange(1), default=CLIENTS, show_default=True)
@click.option("--kills", type=click.IntRange(1), default=KILLS, show_default=True)
@click.option("--shipped", is_flag=True, help="With the network and detector that ship, in place of tiny ones.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(seconds: float, clients: int, kills: int, shipped: bool, seed: int) -> None:
    """Load, kill and starve `serve`, print both tables, and exit with 1 if anything was lost."""
    end_with(service(3 * seconds, seed, clients=clients, kills=kills, shipped=shipped))


if __name__ == "__main__":
    main()
