"""What strangers can bring as models: files of other libraries, whole and damaged, by commands that call them MOJOs."""

import random
from pathlib import Path

_STRANGERS = Path(__file__).parents[1] / "models" / "strangers"
_DAMAGED = 5


async def models_of_others(stage):
    """Models of other libraries, whole and damaged."""
    files = sorted(path for path in _STRANGERS.iterdir() if path.suffix != ".md")
    chance, told = random.Random(0), []
    for number, path in enumerate([*files, *chance.sample(files, _DAMAGED)]):
        content = bytearray(path.read_bytes())
        if number >= len(files):
            content[chance.randrange(len(content))] ^= 0xFF
            del content[chance.randrange(1, len(content)) :]
        brought = stage.folder / f"{number}_{path.name}"
        brought.write_bytes(content)
        command = stage.swap(model=brought)
        await stage.send(command)
        told += (await stage.verdicts(command, 60)).values() or ["no verdict"]
    is_good = await stage.is_good()
    said = ", ".join(sorted(set(told)))
    seen = f"{len(files)} and {_DAMAGED} damaged: {said}, next swap {'READY' if is_good else 'not READY'}"
    return seen, set(told) == {"FAILED ARTIFACT_INVALID"} and is_good
