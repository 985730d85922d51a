"""The generations that have served: cut-overs in the status topic, committed with the first batch of each."""

from collections.abc import Mapping

from hotswap.client import overview
from hotswap.client.fleet import decode_status
from hotswap.client.kept import Kept
from hotswap.settings import Settings

_KEPT_BYTES = 64 << 20


async def read_cut_overs(settings: Settings) -> Mapping[int, Mapping[int, int]]:
    """Return generation -> partition -> first offset that the generation answered.

    The topic retains each cut-over for ever, whereas RETIRED replaces SERVING. A worker without a partition reports
    SERVING, too; only a cut-over of a partition proves that a generation has answered, or would have.
    """
    cut_overs: dict[int, dict[int, int]] = {}
    kept: Kept[tuple[int, int]] = Kept(_KEPT_BYTES)
    async with overview.status_log(settings, read_committed=True) as reader:
        async for records in reader.to_end():
            for record in records:
                status = decode_status(record.value)
                if status is None or status.cut_over.deployment != settings.deployment:
                    continue
                at = status.cut_over
                cut_overs.setdefault(at.generation, {})[at.partition] = at.first_offset
                for generation, partition in kept.keep((at.generation, at.partition), status.ByteSize()):
                    del cut_overs[generation][partition]
    return {generation: offsets for generation, offsets in cut_overs.items() if offsets}
