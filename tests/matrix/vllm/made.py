"""A cluster file for recipes that no machine here runs, for the tests here."""

CLUSTER = """\
launcher: slurm
devices: {kind: rocm, model: MI300X, arch: gfx942, count: 8}
container: {runtime: pyxis}
slurm: {partition: p}
paths: {squash: /images}
"""
