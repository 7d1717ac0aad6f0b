"""From a recipe to its points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matrix import cluster as clusters
from matrix import key, recipe, tree
from matrix.errors import Exit, HarnessError, Place, Problem, did_you_mean
from matrix.memory import Room
from matrix.protocol import PROTOCOL_VERSION, Protocol
from matrix.ranges import bounds, concurrencies, holds
from matrix.vllm import meanings, memory_use, model_sizes, recipe_check
from matrix.vllm.official import facts as official

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.recipe import Recipe, Search, Workload
    from matrix.source import Source
    from matrix.strict_yaml import Document, Path
    from matrix.tree import Tree

SLACK_TOKENS = 256
"""What a server's context has beyond isl + osl, unless a recipe sets it."""


@dataclass(slots=True)
class Cell:
    """One point with all that a plan needs to know of it."""

    id: str
    recipe: Recipe
    workload: Workload
    search: Search
    concurrency: int
    cluster: clusters.Cluster
    max_model_len: int
    flags: dict[str, str | bool | list[str]]
    env: dict[str, str]
    kernel: dict[str, str] | None
    vehicle: dict[str, str] | None
    parts: key.Parts
    place: Place
    server: str
    """Of its parts without the workload: points with the same one share a server."""
    key: str = field(default="")
    notes: tuple[str, ...] = ()
    """Of its recipe: what a person should know, and nothing refuses."""
    room: Room = field(default_factory=Room)
    """What it takes of its GPUs' memory."""


@dataclass(frozen=True, slots=True)
class _Server:
    """What points have in common that meet the same conditions at the same context."""

    flags: dict[str, str | bool | list[str]]
    env: dict[str, str]
    kernel: dict[str, str] | None
    shared: key.Shared
    room: Room


MOST_POINTS = 2_000
"""Of a recipe, before any of them is made."""
MOST_RECIPES = 1_000
"""Of a tree."""


def expand(from_tree: Tree, name: str) -> list[Cell]:
    """Every point of a recipe, in the order of its file.

    Raises:
        HarnessError: RECIPE_INVALID or RECIPE_UNREADABLE, with every problem at its place.
    """
    read, document = recipe.load(from_tree.recipes, name)
    many = sum(len(concurrencies(search.concurrency)) for one in read.workloads for search in one.search)
    if many > MOST_POINTS:
        problem = Problem(
            document.place(("workloads",)),
            f"has {many:,} points, {MOST_POINTS:,} are the most; make two recipes of it",
        )
        raise HarnessError(Exit.RECIPE_INVALID, "", [problem])
    if from_tree.cluster:
        read = read.model_copy(update={"cluster": from_tree.cluster})
    return _Expansion(from_tree, name, read, document).cells()


def shape(search: Search) -> str:
    """The parallelism in a point's identifier, such as `tp8-ep8`; parts of 1 are left out, except tp."""
    parts = [f"tp{search.tp}"]
    parts += [f"{part}{n}" for part in ("pp", "ep", "dp", "dcp", "pcp") if (n := getattr(search, part)) > 1]
    return "-".join(parts)


def lengths_name(isl: int, osl: int) -> str:
    """`8k1k` for multiples of 1024 on both sides, else figures: `128x32`."""
    if isl % 1024 == osl % 1024 == 0:
        return f"{isl // 1024}k{osl // 1024}k"
    return f"{isl}x{osl}"


class _Expansion:
    def __init__(self, from_tree: Tree, name: str, read: Recipe, document: Document) -> None:
        self.tree, self.name, self.recipe, self.document = from_tree, name, read, document
        self.problems: list[Problem] = []
        self.cluster = self._cluster()
        self.served = recipe_check.check(read, document, self.cluster)
        self.problems += self.served.problems
        self.vocabulary = self.served.vocabulary
        self.common = self._common_parts()
        self.kernel = self._kernel()
        self.vehicle = self.common["vehicle"] = self._vehicle()
        self._look_at_official()
        self.sizes = model_sizes.of(from_tree.recipes, read.model)
        self.rules = [bounds(rule.conditions()) for rule in read.serve.when]
        self.kernel_when = bounds(read.kernel.when.conditions()) if read.kernel else None
        self.used_when: set[int] = set()
        self.kernel_used = False

    def report(self, path: Path, message: str) -> None:
        self.problems.append(Problem(self.document.place(path), message))

    def cells(self) -> list[Cell]:
        found: dict[str, Cell] = {}
        for w, workload in enumerate(self.recipe.workloads):
            for s, search in enumerate(workload.search):
                path = ("workloads", w, "search", s)
                if self.cluster and search.devices > self.cluster.devices.count:
                    self.report(
                        path,
                        f"{shape(search)} takes {search.devices} devices, and a node of {self.recipe.cluster} "
                        f"has {self.cluster.devices.count}",
                    )
                for cell in self._row(workload, search, self.document.place(path)):
                    if first := found.get(cell.id):
                        self.report(
                            path, f"{cell.id} is a point already in line {first.place.line}; take one out"
                        )
                    found.setdefault(cell.id, cell)
        self._report_unused()
        if self.problems:
            raise HarnessError(Exit.RECIPE_INVALID, "", self.problems)
        return list(found.values())

    def _cluster(self) -> clusters.Cluster | None:
        known = clusters.names(self.tree.clusters)
        if self.recipe.cluster not in known:
            self.report(
                ("cluster",),
                f"no cluster {self.recipe.cluster!r}; {did_you_mean(self.recipe.cluster, known)}",
            )
            return None
        path = clusters.path(self.recipe.cluster)
        try:
            cluster, problems = recipe_check.of_cluster(self.tree.clusters.read(path), path)
        except HarnessError as error:
            self.problems += error.problems
            return None
        self.problems += problems
        return cluster

    def _common_parts(self) -> dict[str, Any]:
        """The parts of the key that all points of the recipe share."""
        if self.cluster is None:
            return {}
        devices, container = self.cluster.devices, self.cluster.container
        common: dict[str, Any] = {
            "model": self.recipe.model,
            "revision": self.recipe.revision,
            "image": self.recipe.image,
            "cluster": self.recipe.cluster,
            "env_from": self.cluster.env_from,
            "devices": {
                "model": devices.model,
                "count": devices.count,
                "client_cores": self.cluster.client_cores,
            },
            "container": {"runtime": container.runtime, "devices": container.devices},
            "protocol": {"version": PROTOCOL_VERSION} | _changed(self.recipe.protocol),
        }
        try:
            if tree.is_carried(self.recipe.model):
                common["model_files"] = tree.model_digest(self.tree.recipes, self.recipe.model)
        except HarnessError as error:
            self.report(("model",), error.problems[0].message if error.problems else error.message)
        if container.runtime == "none":
            try:
                locked = tree.locked_digest(self.tree.locks, self.recipe.image)
                common["locked"] = key.OWN if self.tree.own_environment else locked
            except HarnessError as error:
                self.report(("image",), error.message)
        elif "==" in self.recipe.image:
            self.report(
                ("image",),
                f"{self.recipe.image!r} is a package, and {self.recipe.cluster} runs container images",
            )
        return common

    def _kernel(self) -> dict[str, str] | None:
        wanted = self.recipe.kernel
        if wanted is None:
            return None
        known = tree.kernels(self.tree.kernels)
        if wanted.name not in known:
            hint = did_you_mean(wanted.name, known) or "this tree has none in kernels/"
            self.report(("kernel", "name"), f"no kernel {wanted.name!r}; {hint}")
            return None
        try:
            variants = tree.variants(self.tree.kernels, wanted.name)
        except HarnessError as error:
            self.report(("kernel", "name"), error.message)
            return None
        if variants and wanted.variant not in variants:
            at = ("kernel", "variant") if wanted.variant else ("kernel",)
            self.report(
                at, f"{wanted.name} has no variant {wanted.variant!r}; name one of {', '.join(variants)}"
            )
        arch = self.cluster.devices.arch if self.cluster else ""
        there = tree.tiles(self.tree.kernels, wanted.name)
        if there and self.cluster and self.cluster.devices.kind != "cpu" and arch not in there:
            self.report(
                ("kernel", "name"),
                f"{wanted.name} has tiles for {', '.join(there)}, not for {arch or 'a GPU without a name'}: "
                f"set devices.arch of {self.recipe.cluster}, or add tiles",
            )
        found = {"name": wanted.name, "variant": wanted.variant, "expect": wanted.expect}
        return found | {"files": tree.kernel_digest(self.tree.kernels, wanted.name, arch)}

    def _vehicle(self) -> dict[str, str] | None:
        wanted = self.recipe.vehicle
        if wanted is None:
            return None
        known = tree.vehicles(self.tree.kernels)
        if wanted not in known:
            hint = did_you_mean(wanted, known) or "this tree has none in kernels/vehicles/"
            self.report(("vehicle",), f"no vehicle {wanted!r}; {hint}")
            return None
        return {"name": wanted, "files": tree.kernel_digest(self.tree.kernels, f"vehicles/{wanted}", "")}

    def _look_at_official(self) -> None:
        """Whether the facts that the recipe names are there and have its features; the comparison itself is `upstream`'s."""
        named = self.recipe.official
        if named is None:
            return
        known = official.names(self.tree.recipes)
        if named.facts not in known:
            hint = did_you_mean(named.facts, known) or f"this tree has none in {official.FOLDER}/"
            self.report(("official", "facts"), f"no facts {named.facts!r}; {hint}")
            return
        try:
            there = official.load(self.tree.recipes, named.facts).features
        except HarnessError as error:
            self.problems += error.problems
            return
        for number, feature in enumerate(named.features or []):
            if feature not in there:
                hint = did_you_mean(feature, there)
                self.report(
                    ("official", "features", number), f"{named.facts} has no feature {feature!r}; {hint}"
                )

    def _row(self, workload: Workload, search: Search, place: Place) -> Iterator[Cell]:
        """The points of a row of the search space; those that meet the same conditions have one server, which is worked out once."""
        if self.cluster is None:
            return
        need = workload.isl + workload.osl
        longest = workload.max_model_len or self.recipe.max_model_len or need + SLACK_TOKENS
        row = f"{self.name}/{lengths_name(workload.isl, workload.osl)}-{shape(search)}"
        chat = {"chat_template": True} if self.recipe.client.chat_template else {}
        notes = tuple(self.served.notes)
        facts = {"isl": workload.isl, "osl": workload.osl}
        facts |= {part: getattr(search, part) for part in ("tp", "pp", "ep", "dp")}
        servers: dict[tuple[tuple[int, ...], bool], _Server] = {}
        for concurrency in concurrencies(search.concurrency):
            if longest < need:
                text = f"max-model-len {longest} is below isl + osl = {need}; raise it, or leave it out"
                self.problems.append(Problem(place, text))
            at = facts | {"concurrency": concurrency}
            rules = tuple(number for number, rule in enumerate(self.rules) if holds(rule, at))
            patched = self.kernel_when is not None and holds(self.kernel_when, at)
            server = servers.get((rules, patched))
            if server is None:
                server = servers[rules, patched] = self._server(
                    self.cluster, search, longest, rules, patched=patched
                )
            load = {"isl": workload.isl, "osl": workload.osl, "concurrency": concurrency} | chat
            parts, name = server.shared.with_workload(load)
            yield Cell(
                id=f"{row}-c{concurrency}",
                recipe=self.recipe,
                workload=workload,
                search=search,
                concurrency=concurrency,
                cluster=self.cluster,
                max_model_len=longest,
                flags=server.flags,
                env=server.env,
                kernel=server.kernel,
                vehicle=self.vehicle,
                parts=parts,
                place=place,
                server=server.shared.server,
                key=name,
                notes=notes,
                room=server.room,
            )

    def _server(
        self,
        cluster: clusters.Cluster,
        search: Search,
        longest: int,
        rules: tuple[int, ...],
        *,
        patched: bool,
    ) -> _Server:
        """With the recipe's rules of these numbers, and with its kernel."""
        self.used_when |= {*rules}
        self.kernel_used |= patched
        flags: dict[str, recipe.Flag] = _parallel_flags(search) | {
            "max-model-len": longest,
            **self.recipe.serve.flags,
        }
        env: dict[str, str | None] = {**cluster.env, **self.recipe.serve.env}
        for number in rules:
            flags |= self.recipe.serve.when[number].flags
            env |= self.recipe.serve.when[number].env
        kernel = self.kernel if patched else None
        plain = meanings.flags(self.vocabulary, flags)
        texts = meanings.texts(self.vocabulary, plain)
        kept_env = meanings.variables(self.vocabulary, env)
        hashed = {name: value for name, value in (kernel or {}).items() if name != "expect"}
        usual = meanings.defaults(self.vocabulary, plain)
        told = {name: text for name, text in texts.items() if name not in usual}
        shared = key.Shared(**self.common, flags=told, env=kept_env, kernel=hashed)
        asked = memory_use.Asked(cluster.devices, search, self.recipe.image, texts, kept_env, kernel, longest)
        room = memory_use.of(self.sizes, asked)
        return _Server(texts, kept_env, kernel, shared, room)

    def _report_unused(self) -> None:
        if self.cluster is None:
            return
        for number in range(len(self.recipe.serve.when)):
            if number not in self.used_when and self._is_own(("serve", "when", number)):
                self.report(
                    ("serve", "when", number),
                    "no point of the recipe meets this condition; fix it, or take it out",
                )
        if self.recipe.kernel and not self.kernel_used and self._is_own(("kernel",)):
            self.report(
                ("kernel",),
                "no point of the recipe meets the kernel's `when`; fix it, or take the kernel out",
            )

    def _is_own(self, path: Path) -> bool:
        """Whether this file says it; what it extends may well meet none of its points."""
        return self.document.place(path).file == f"{recipe.FOLDER}/{self.name}.yaml"


def _parallel_flags(search: Search) -> dict[str, recipe.Flag]:
    names = {
        "tp": "tensor-parallel-size",
        "pp": "pipeline-parallel-size",
        "dp": "data-parallel-size",
        "dcp": "decode-context-parallel-size",
        "pcp": "prefill-context-parallel-size",
    }
    flags: dict[str, recipe.Flag] = {
        flag: size for part, flag in names.items() if (size := getattr(search, part)) > 1 or part == "tp"
    }
    if search.ep > 1:
        flags["enable-expert-parallel"] = True
    return flags


def _changed(protocol: Protocol) -> dict[str, Any]:
    """What a recipe sets otherwise than the default."""
    return {name: value for name, value in protocol if value != Protocol.model_fields[name].default}


def all_recipes(source: Source) -> list[str]:
    """The recipes of a tree by name.

    Raises:
        HarnessError: RECIPE_INVALID for more than anybody means.
    """
    found = recipe.names(source)
    if len(found) > MOST_RECIPES:
        raise HarnessError(
            Exit.RECIPE_INVALID, f"recipes/ has {len(found):,} recipes, at most {MOST_RECIPES:,} are taken"
        )
    return found
