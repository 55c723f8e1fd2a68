"""The page itself, in Gradio: what is shown, and what happens when something is clicked."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from cfa_lab.data.layouts.folders import IMAGE_SUFFIXES
from cfa_lab.deploy.view import texts
from cfa_lab.deploy.view.examined import Examined, Patch
from cfa_lab.deploy.view.pictures import draw, shown_size
from cfa_lab.deploy.view.viewer import Viewer
from cfa_lab.errors import UserError

PICTURES = {
    "image": "Image",
    "mask": "Ground truth",
    "heat": "Map",
    "overlay": "Overlay",
    "above": "From the pixel threshold up",
}
"""Fields of `Pictures`, in their order, and what stands above each."""
MAX_SESSIONS = 8
"""Windows whose image is kept; an older one chooses again."""
TIDY_SECONDS, KEEP_SECONDS = 60, 900
"""How often pictures are looked through, and for how long one that was shown is kept."""
CSS = "#behind .caption-label { white-space: normal; max-width: 95%; }"
"""Captions are names of files, which tell little when they are cut."""
CALL: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "minimal",
    # one after another, or a slow call would write back a session without what a quick one changed
    "concurrency_id": "session",
    "concurrency_limit": 1,
}
QUIET: dict[str, Any] = CALL | {"show_progress": "hidden"}
SEARCH: dict[str, Any] = QUIET | {"concurrency_id": "search"}
ALWAYS_LAST: dict[str, Any] = {"trigger_mode": "always_last"}


@dataclass(frozen=True)
class Session:
    """What one window looks at."""

    image_threshold: float | None
    pixel_threshold: float | None
    examined: Examined | None = None
    patch: Patch | None = None


class Page:
    """The parts of the page and what they do; one for each server."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        own = viewer.description.thresholds
        self._start = Session(own and own.image, own and own.pixel)
        with gr.Blocks(
            analytics_enabled=False,
            title="cfa_lab view",
            delete_cache=(TIDY_SECONDS, KEEP_SECONDS),
            fill_width=True,
        ) as self.blocks:
            self._build()
        self.blocks.state_session_capacity = MAX_SESSIONS

    def _build(self) -> None:
        viewer, start = self._viewer, self._start
        self.session = gr.State(start)
        gr.Markdown(texts.heading(viewer), elem_id="heading")
        with gr.Row(equal_height=True):
            self.chosen = gr.Dropdown(
                viewer.choices,
                value=None,
                label="Image of the run" if viewer.choices else "Image of the run: none are there",
                interactive=bool(viewer.choices),
                num_choices_shown=10_000,
                elem_id="chosen",
                scale=3,
            )
            upload = gr.UploadButton(
                "Upload an image",
                file_types=list(IMAGE_SUFFIXES),
                elem_id="upload",
                size="sm",
                scale=1,
            )
        self.said = gr.Textbox(
            viewer.why_no_images or texts.CHOOSE,
            show_label=False,
            container=False,
            interactive=False,
            elem_id="said",
        )
        with gr.Row():
            sliders = (
                self._slider("image", start.image_threshold),
                self._slider("pixel", start.pixel_threshold),
            )
        with gr.Row():
            self.counts = gr.Markdown(
                texts.counts(viewer.scores, start.image_threshold), elem_id="counts"
            )
            self.findings = gr.Markdown("", elem_id="findings")
        with gr.Row():
            self.pictures = [
                gr.Image(
                    label=label,
                    format="png",
                    interactive=False,
                    buttons=[],
                    elem_id=name,
                    min_width=220,
                )
                for name, label in PICTURES.items()
            ]
        self.patch = gr.Markdown(texts.NO_PATCH, elem_id="patch")
        self.behind = gr.Gallery(
            show_label=False,
            format="png",
            columns=5,
            height="auto",
            buttons=[],
            interactive=False,
            elem_id="behind",
        )
        self._wire(upload, sliders)

    def _wire(self, upload: gr.UploadButton, sliders: tuple[gr.Slider, gr.Slider]) -> None:
        clicked = [self.session, self.said, *self.pictures, self.patch, self.behind]
        searches: list[Any] = []
        for picture in self.pictures:
            click = picture.select(self._click, self.session, clicked, **QUIET, **ALWAYS_LAST)
            # by itself, since it may take long, and cut off when another image is opened
            search = click.then(self._search, self.session, [self.said, self.behind], **SEARCH)
            searches += [click, search]
        shown = [self.session, self.said, self.findings, *self.pictures, self.patch, self.behind]
        choice = [self.session, self.chosen]
        self.chosen.input(self._choose, choice, shown, cancels=searches, **CALL)
        given = [self.session, upload]
        upload.upload(self._upload, given, [self.chosen, *shown], cancels=searches, **CALL)
        moved = [self.session, self.counts, self.findings, *self.pictures]
        for move, slider in zip((self._move_image, self._move_pixel), sliders, strict=True):
            slider.change(move, [self.session, slider], moved, **QUIET, **ALWAYS_LAST)

    def _slider(self, kind: str, own: float | None) -> gr.Slider:
        high, step = self._viewer.slider(own)
        return gr.Slider(
            0,
            high,
            value=high if own is None else own,
            step=step,
            label=f"{kind.capitalize()} threshold",
            info=texts.origin(self._viewer.description, own),
            elem_id=f"{kind}_threshold",
            buttons=[],
        )

    def _choose(self, session: Session, path: str) -> tuple[Any, ...]:
        try:
            return self._opened(session, self._viewer.open(path))
        except UserError as error:
            return self._failed(session, error)

    def _upload(self, session: Session, path: str) -> tuple[Any, ...]:
        try:
            return None, *self._opened(session, self._viewer.upload(Path(path)))
        except UserError as error:
            return gr.skip(), *self._failed(session, error)

    def _opened(self, session: Session, examined: Examined) -> tuple[Any, ...]:
        session = replace(session, examined=examined, patch=None)
        said = texts.opened(examined)
        return session, said, *self._judged(session), texts.NO_PATCH, []

    def _failed(self, session: Session, error: UserError) -> tuple[Any, ...]:
        """The same page with the error, and what it showed before."""
        return session, str(error), *([gr.skip()] * (len(self.pictures) + 3))

    def _move_image(self, session: Session, value: float | None) -> tuple[Any, ...]:
        return self._moved(replace(session, image_threshold=value))

    def _move_pixel(self, session: Session, value: float | None) -> tuple[Any, ...]:
        return self._moved(replace(session, pixel_threshold=value))

    def _moved(self, session: Session) -> tuple[Any, ...]:
        counts = texts.counts(self._viewer.scores, session.image_threshold)
        return session, counts, *self._judged(session)

    def _judged(self, session: Session) -> tuple[Any, ...]:
        """What an image is found to be, and its pictures."""
        if session.examined is None:
            return "", *([None] * len(self.pictures))
        findings = texts.findings(
            session.examined, session.image_threshold, session.pixel_threshold
        )
        return findings, *self._drawn(session)

    def _drawn(self, session: Session) -> tuple[Any, ...]:
        assert session.examined is not None
        drawn = draw(
            session.examined,
            colour_range=self._viewer.colour_range,
            pixel_threshold=session.pixel_threshold,
            marked=session.patch and session.patch.box,
        )
        return tuple(getattr(drawn, name) for name in PICTURES)

    def _click(self, session: Session, event: gr.SelectData) -> tuple[Any, ...]:
        """Tell the neighbours of the patch that was clicked."""
        examined = session.examined
        patch = None if examined is None else examined.patch_at(*self._point(examined, event))
        if examined is None or patch is None:
            said = texts.CHOOSE if examined is None else texts.NOT_SCORED
            session = replace(session, patch=None)
            return session, said, *([gr.skip()] * (len(self.pictures) + 2))
        session = replace(session, patch=patch)
        searching = self._viewer.needs_search(examined, patch)
        said = texts.searching(self._viewer) if searching else texts.opened(examined)
        text = texts.patch(examined, patch, self._viewer.bank)
        return session, said, *self._drawn(session), text, []

    def _search(self, session: Session) -> tuple[Any, ...]:
        """Show what stands behind the neighbours of the patch that was clicked."""
        examined, patch = session.examined, session.patch
        if examined is None or patch is None:
            return gr.skip(), gr.skip()
        try:
            said, behind = texts.opened(examined), self._viewer.behind(examined, patch)
        except UserError as error:
            return f"no training patches: {error}", []
        if self._viewer.table is None:
            said = f"no training patches: {self._viewer.why_no_images}"
        return said, behind

    @staticmethod
    def _point(examined: Examined, event: gr.SelectData) -> tuple[float, float]:
        """The point (y, x) of the original that was clicked, from one of the picture shown."""
        height, width = shown_size(examined)
        x, y = (float(value) + 0.5 for value in event.index)
        return y * examined.image.shape[0] / height, x * examined.image.shape[1] / width
