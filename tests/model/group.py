"""The consumer group of the model's world."""

from model.steps import Process


class Group:
    """The consumer group: who owns what. A member that is not told goes on as if nothing had happened."""

    def __init__(self, partitions: int) -> None:
        self.members: list[Process] = []
        self.owners: list[Process | None] = [None] * partitions
        self._version = 0
        self._told: dict[Process, int] = {}

    def join(self, process: Process) -> None:
        self.members.append(process)
        self._told[process] = -1

    def leave(self, process: Process) -> None:
        if process in self.members:
            self.members.remove(process)

    def give(self, partition: int, process: Process) -> None:
        self.owners[partition] = process
        self._version += 1

    def is_told(self, process: Process) -> bool:
        return self._told[process] == self._version

    def tell(self, process: Process) -> tuple[int, list[int]]:
        """The group's generation, and what this member has in it."""
        self._told[process] = self._version
        return self._version, [number for number, owner in enumerate(self.owners) if owner is process]
