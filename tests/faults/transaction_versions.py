"""A cluster's `transaction.version` is lowered and raised again under load: `python -m faults transaction-versions`.

Workers whose sender knows both versions must follow it; those that know only version 1 have nothing to follow.
"""

import asyncio
import time
from collections import Counter

from faults.acts_on_brokers import goes_on
from faults.transactional_frames import END_TXN
from harness.features import set_level

FEATURE = "transaction.version"
EVERY_S = 15.0
_FOLLOWED_S = 10.0
"""How long workers may take to follow a change."""


class Ends:
    """Counts the transactions that workers end, by their version, as a proxy sees them."""

    def __init__(self):
        self.recent = Counter()
        self.all = Counter()

    async def requested(self, request):
        if request.api_key == END_TXN:
            self.recent[request.transaction_version] += 1
            self.all[request.transaction_version] += 1

    async def answered(self, request, frame):
        """Let each answer pass."""


async def transaction_versions(arena, seconds):
    """Lower and raise the feature in turns, a worker killed in each; the fleet must follow if it knows version 2."""
    ends = arena.proxy.tap = Ends()
    seen, slowest, until, level = [], 0.0, time.monotonic() + seconds, 2
    while time.monotonic() < until or level == 1:
        level = 3 - level
        await asyncio.to_thread(set_level, arena.kafka.bootstrap, FEATURE, level, is_lowered=level == 1)
        victim = arena.random.choice(arena.workers)
        arena.deployment.kill(victim)
        arena.join(in_place_of=victim)
        await asyncio.sleep(_FOLLOWED_S)
        ends.recent.clear()
        await asyncio.sleep(EVERY_S - _FOLLOWED_S)
        slowest = max(slowest, await goes_on(arena, 60))
        seen.append((level, Counter(ends.recent)))
        arena.say(f"{FEATURE} {level}: {dict(ends.recent)} transactions by version")
    arena.figures["changes of transaction.version"] = len(seen)
    arena.figures |= {f"transactions of version {version}": count for version, count in sorted(ends.all.items())}
    arena.figures["goes on after a change within, s"] = round(slowest, 1)
    if findings := unfollowed(seen):
        raise AssertionError("; ".join(findings))


def unfollowed(seen):
    """Return where workers that know version 2 have not followed; `seen`: (level, version -> transactions) in turns."""
    if not any(versions[2] for _, versions in seen):
        return []
    return [
        f"with {FEATURE} {level}, after {_FOLLOWED_S:.0f} s workers still end transactions of version {3 - level}"
        for level, versions in seen
        if versions[3 - level]
    ]
