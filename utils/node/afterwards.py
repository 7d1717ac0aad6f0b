"""What a run is asked after its last point, on the server that runs anyway: whether its answers are the base's, and the recipe's task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.vllm.model_variables import is_of_models
from utils.node import evaluation
from utils.node.vllm import parity_probe

if TYPE_CHECKING:
    from utils.node.point import Bench, Phases
    from utils.node.record import Accuracy
    from utils.node.spec import NodeJob


def accuracy(
    bench: Bench, spec: NodeJob, where: parity_probe.Where, phases: Phases
) -> dict[str, list[Accuracy]]:
    """Point -> what was found; nothing that goes wrong here costs a measurement.

    Args:
        bench: the server, still running.
        spec: of the run's arm.
        where: the run's place among the job's.
        phases: collects durations.
    """
    points, found = spec.job.points, {}
    if spec.canary or spec.profile:
        return {}
    if "base" in spec.job.arms:
        with phases.phase("parity"):
            found = parity_probe.probe_run(bench.server, points, where, bench.marker)
    if asked := points[0].accuracy:
        with phases.phase("accuracy", asked.task):
            one = evaluation.evaluate(asked, _asked(bench, spec, where))
        found = {point.id: [*found.get(point.id, []), one] for point in points}
    return found


def _asked(bench: Bench, spec: NodeJob, where: parity_probe.Where) -> evaluation.Where:
    mine = where.folder / "accuracy"
    mine.mkdir(exist_ok=True)
    return evaluation.Where(
        python=spec.evaluator,
        tree=spec.tree,
        model=bench.server.model,
        port=bench.server.port,
        concurrency=max(point.concurrency for point in spec.job.points),
        folder=mine,
        shared=where.shared,
        env={name: text for name, text in spec.job.serve.env.items() if is_of_models(name)},
        first=where.first,
    )
