"""`make demo` as a user sees it: a short run of the whole story, Ctrl-C in the middle, and no Kafka."""

import os
import re
import signal
import subprocess
import sys

from harness.fleet import ROOT

DEMO = [sys.executable, str(ROOT / "examples" / "demo.py")]
LATE = ROOT / "tests" / "fakes" / "late_commands"
UNUSED = "127.0.0.1:1"


def environment(kafka, *more):
    return os.environ | {"HOTSWAP_KAFKA": kafka, "PYTHONPATH": os.pathsep.join(map(str, (*more, ROOT / "worker")))}


def figures(screen, first_words):
    """Return what follows these words in the lines of a table."""
    return [re.split(r"\s{2,}", line.strip())[1:] for line in screen.splitlines() if re.match(first_words, line)]


def test_the_demo_loses_nothing_answers_nothing_twice_and_predicts_what_the_models_predict_offline(kafka, tmp_path):
    picture = tmp_path / "pictures" / "demo.svg"
    words = ["--rate", "150", "--seconds", "2", "--picture", str(picture)]
    done = subprocess.run(
        [*DEMO, *words],
        env=environment(kafka.bootstrap, LATE),  # as on a busy machine
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    screen = done.stdout
    counted = re.search(r"asked (\S+) · answered (\S+) · lost 0 · answered twice 0 · refused 0 ", screen)
    assert counted, screen
    assert counted[1] == counted[2] != "0"
    assert re.search(r"✗ 3 .* refused after .*\n +ARTIFACT_INVALID: better.zip is no model but text", screen)
    scores = figures(screen, r"\d (iris|cancer)_")
    assert len(scores) == 4, "generations 1, 2, 4 and 5 serve, 3 is the refused one"
    for answered, right, offline, differ in scores:
        assert int(answered.replace(",", "")) > 100
        assert right == offline
        assert differ == "0"
    gaps = figures(screen, r"[2-5] (swap|re-purpose|roll)|no command")
    assert len(gaps) == 5
    assert all(re.fullmatch(r"[\d,]+ ms", gap) for line in gaps for gap in line)
    text = picture.read_text()
    assert text.startswith("<?xml")
    assert "0 lost, 0 answered twice" in text
    assert str(tmp_path) not in text


def test_ctrl_c_stops_the_demo_with_everything_that_it_started(kafka):
    with subprocess.Popen(
        DEMO,
        env=environment(kafka.bootstrap),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        # A shell starts background jobs with SIGINT ignored, and children inherit that: these tests, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing here has threads
    ) as demo:
        try:
            while "✓ 1" not in (line := demo.stdout.readline()):
                assert line, demo.stderr.read()
            demo.send_signal(signal.SIGINT)
            _, complaint = demo.communicate(timeout=30)
        finally:
            demo.kill()
    # The end of the test session checks that no process or folder is left.
    assert demo.returncode == 130
    assert complaint == "hotswap: interrupted: everything is stopped, nothing is left behind\n"


def test_without_a_kafka_the_demo_says_so_in_one_line(tmp_path):
    done = subprocess.run(
        DEMO, env=environment(UNUSED), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    (complaint,) = done.stderr.splitlines()
    assert complaint.startswith(f"hotswap: no Kafka answers at {UNUSED}")
    assert list(tmp_path.iterdir()) == []
