"""Which generations have served: the cut-overs in the status topic, each committed with the first batch of one."""

from collections.abc import Mapping

from hotswap.client import overview
from hotswap.client.fleet import decode_status
from hotswap.client.kept import Kept
from hotswap.settings import Settings

_KEPT_BYTES = 64 << 20


async def read_cut_overs(settings: Settings) -> Mapping[int, Mapping[int, int]]:
    """Return generation -> partition -> the offset from which on the generation answered it.

    The topic keeps each of them for ever, whereas SERVING gives way to RETIRED. A worker without a partition reports
    SERVING, too; only a partition's own cut-over tells that a generation has answered, or would have.
    """
    found: dict[int, dict[int, int]] = {}
    kept: Kept[tuple[int, int]] = Kept(_KEPT_BYTES)
    async with overview.status_log(settings, read_committed=True) as reader:
        async for records in reader.to_end():
            for record in records:
                status = decode_status(record.value)
                if status is None or status.cut_over.deployment != settings.deployment:
                    continue
                done = status.cut_over
                found.setdefault(done.generation, {})[done.partition] = done.first_offset
                for generation, partition in kept.keep((done.generation, done.partition), status.ByteSize()):
                    del found[generation][partition]
    return {generation: offsets for generation, offsets in found.items() if offsets}
