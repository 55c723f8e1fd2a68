"""`python -m cfa_lab dashboard`: the W&B workspace that compares runs, as code."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cfa_lab.errors import Parser, UserError
from cfa_lab.tracking.columns import COLUMNS
from cfa_lab.tracking.wandb_helper import one_line, shut_down
from cfa_lab.tracking.wandb_session import import_wandb, require_connection

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

NAME = "Comparison"
METRICS = {
    "test/image_auroc": "Image AUROC",
    "test/pixel_auroc": "Pixel AUROC",
    "test/aupro_30": "AUPRO, up to 30 % false positives",
}
TRACES = {
    "train/radius": "Radius r: repulsion acts where r^2 > alpha",
    "train/active_attraction": "Share of active attraction terms",
    "train/active_repulsion": "Share of active repulsion terms",
    "train/loss": "Loss",
    "train/attraction": "Attraction",
    "train/repulsion": "Repulsion",
}
SEARCHED = ("K", "J", "r", "alpha", "gamma_c", "gamma_d", "backbone", "bank")
"""Columns that a search varies, in the order of the parallel axes."""

ON_A_LOG_SCALE = ("r",)
MAX_RUNS = 100


def main(arguments: list[str]) -> None:
    """Save the workspace and say where it is; raises UserError where W&B cannot be reached."""
    parser = Parser(
        prog="python -m cfa_lab dashboard",
        description="Save a W&B workspace that compares the runs of a project, and print its"
        " address. Every call saves a new view.",
    )
    parser.add_argument("--entity", required=True, help="user or team that owns the project")
    parser.add_argument("--project", default="cfa-lab", help="default: cfa-lab")
    parser.add_argument("--group", help="show only the runs of this study (tracker.group)")
    parser.add_argument("--name", default=NAME, help=f"of the view; default: {NAME}")
    options = parser.parse_args(arguments)
    workspace = build_workspace(
        options.entity, options.project, group=options.group, name=options.name
    )
    wandb = import_wandb()
    try:
        require_connection(wandb)
        print(_save(wandb, workspace))
    finally:
        shut_down(wandb)


def _save(wandb: Any, workspace: "Workspace") -> str:
    """Save the workspace as a new view; returns its address."""
    try:
        workspace.save()
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(
            f"W&B did not save the view ({one_line(error)}); is there a project"
            f" {workspace.entity}/{workspace.project} that you may change?"
        ) from None
    return workspace.url


def build_workspace(
    entity: str, project: str, *, group: str | None = None, name: str = NAME
) -> "Workspace":
    """The workspace, built without talking to anyone; `group` keeps other studies' runs out.

    Raises UserError where the package wandb-workspaces is missing or refuses a name.
    """
    if group and set(group) & set("=<>"):  # wandb-workspaces would change them without a word
        raise UserError(f"the group {group!r} holds =, < or >, which W&B's filters cannot take")
    workspaces, panels = _import_workspaces()
    pinned = [f"config:{column}.value" for column in COLUMNS]
    try:
        return workspaces.Workspace(
            entity=entity,
            project=project,
            name=name,
            sections=[
                _categories(workspaces, panels),
                _settings(workspaces, panels),
                _hyperspheres(workspaces, panels),
                _worst_cases(workspaces, panels),
            ],
            settings=workspaces.WorkspaceSettings(x_axis="step", max_runs=MAX_RUNS),
            runset_settings=workspaces.RunsetSettings(
                filters=f"Metric('Group') == {group!r}" if group else "",
                pinned_columns=[*pinned, *(f"summary:{metric}" for metric in METRICS)],
            ),
        )
    except ValueError as error:
        raise UserError(f"W&B refuses the workspace: {one_line(error)}") from None


def _categories(workspaces: Any, panels: Any) -> "Section":
    """Each metric by category, by study and by backbone; whiskers are the standard deviation."""
    by = {
        "category": panels.Config("category"),
        "study": panels.Metric("Group"),
        "backbone": panels.Config("backbone"),
    }
    bars = [
        panels.BarPlot(
            title=f"{title}, by {what}",
            metrics=[metric],
            groupby=key,
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_runs_to_show=1000,
            max_bars_to_show=30,
            layout=panels.Layout(w=8, h=10),
        )
        for metric, title in METRICS.items()
        for what, key in by.items()
    ]
    return _section(workspaces, "Categories and settings", bars)


def _settings(workspaces: Any, panels: Any) -> "Section":
    """The searched settings against each metric: parallel axes, scatter plots, importance."""
    axes = [
        panels.ParallelCoordinatesPlotColumn(
            metric=panels.Config(column), display_name=column, log=column in ON_A_LOG_SCALE or None
        )
        for column in SEARCHED
    ]
    parallel = [
        panels.ParallelCoordinatesPlot(
            title=f"Settings against {title}",
            columns=[
                *axes,
                panels.ParallelCoordinatesPlotColumn(
                    metric=panels.SummaryMetric(metric), display_name=title
                ),
            ],
            layout=panels.Layout(w=24, h=10),
        )
        for metric, title in METRICS.items()
    ]
    metric, title = next(iter(METRICS.items()))
    scatter = [
        panels.ScatterPlot(
            title=f"{title} against {column}",
            x=panels.Config(column),
            y=panels.SummaryMetric(metric),
            log_x=column in ON_A_LOG_SCALE or None,
        )
        for column in ("K", "J", "r", "alpha")
    ]
    importance = panels.ParameterImportancePlot(with_respect_to=metric)
    return _section(
        workspaces, "K, J, r and alpha against AUROC", [*parallel, *scatter, importance]
    )


def _hyperspheres(workspaces: Any, panels: Any) -> "Section":
    """What happens to the hyperspheres while training goes on, and to the loss."""
    lines = [
        panels.LinePlot(
            title=title, x="step", y=[metric], title_x="step", max_runs_to_show=MAX_RUNS
        )
        for metric, title in TRACES.items()
    ]
    return _section(workspaces, "Hyperspheres and losses", lines)


def _worst_cases(workspaces: Any, panels: Any) -> "Section":
    """Worst false positives, misses and typical images of every run, and all image scores."""
    tables = [
        panels.WeavePanelSummaryTable(table_name=table, layout=panels.Layout(w=24, h=16))
        for table in ("panels", "predictions")
    ]
    return _section(workspaces, "Worst cases", tables)


def _section(workspaces: Any, name: str, panels: Sequence[Any]) -> "Section":
    return workspaces.Section(name=name, panels=list(panels), is_open=True)


def _import_workspaces() -> tuple[Any, Any]:
    """The modules of workspaces and of their panels."""
    try:
        with warnings.catch_warnings():  # it still uses pydantic's first interface
            warnings.simplefilter("ignore", DeprecationWarning)
            import wandb_workspaces.reports.v2 as panels
            import wandb_workspaces.workspaces as workspaces
    except ModuleNotFoundError as error:
        if error.name not in ("wandb", "wandb_workspaces"):
            raise
        raise UserError(
            f"The dashboard needs the package {error.name.replace('_', '-')}, which is not"
            " installed; run `pip install 'cfa-lab[dashboard]'`."
        ) from None
    return workspaces, panels
