"""Where the pixels of an image go on their way into the network, and where they came from.

All resize modes are one computation per axis: the image is resized, centred in a frame (its own
size, or a larger one that letterboxing pads), and the input is cut from the middle of that frame.
"""

from dataclasses import asdict, dataclass
from typing import Any

from cfa_lab.data.depth import Depth, Span
from cfa_lab.errors import UserError
from cfa_lab.vocabulary import (
    INTERPOLATIONS,
    RESIZES,
    Interpolation,
    Resize,
    none_or_within,
    one_of,
    rising_pair,
    within,
)

TILE_STEP = 32
"""Tiles begin and end on multiples of this, which the strides of all backbones divide."""
MOST_PIXELS = 2**27
"""What `shorter_side` may make of a long and narrow image; the crop would drop nearly all of it."""

Size = tuple[int, int]  # height, width
Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class Placement:
    """What the network saw of one image.

    `original` is the image's size; `window` the box of the original that was seen, rounded to whole
    pixels and never empty; `content` the box of the network's input that shows it: all of the input
    but the letterbox padding.
    """

    original: Size
    window: Box
    content: Box


@dataclass(frozen=True)
class Plan:
    """How to carry out a placement: resize to `resized`, copy `visible` of it to `content`."""

    resized: Size
    visible: Box
    placement: Placement


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How images of any size become network inputs of one size.

    `stretch` resizes to `height` x `width`; `letterbox` keeps the aspect ratio, fits the image into
    `height` x `width` and pads with black; `shorter_side` resizes the shorter side to `size`, the
    longer to int(size * long / short), and cuts `height` x `width` out of the middle. `crop` cuts
    `crop` x `crop` out of the middle, after any of the three. Rounding is torchvision's. `tile`
    resizes nothing and covers the image with inputs of `height` x `width` that overlap by `overlap`
    pixels at least. `bits` and `range` say what is white in files of more than 8 bits (`Depth`).
    Raises `UserError` for values that no image can satisfy.
    """

    resize: Resize
    height: int
    width: int
    size: int | None = None
    crop: int | None = None
    interpolation: Interpolation = "lanczos"
    overlap: int = 0
    bits: int | None = None
    range: Span | None = None

    def __post_init__(self) -> None:
        none_or_within("image.bits", self.bits)
        if self.range is not None:  # from JSON it comes as a list
            object.__setattr__(self, "range", rising_pair("image.range", self.range))
        one_of("image.resize", self.resize, RESIZES)
        one_of("image.interpolation", self.interpolation, INTERPOLATIONS)
        within("image.height", self.height)
        within("image.width", self.width)
        none_or_within("image.size", self.size)
        none_or_within("image.crop", self.crop)
        within("image.overlap", self.overlap)
        if self.resize == "tile":
            self._check_tiles()
        elif self.resize == "shorter_side":
            if self.size is None:
                raise UserError(
                    "image.resize=shorter_side needs the shorter side's length; set image.size"
                )
            if min(self.input_size) > self.size:
                raise UserError(
                    f"a crop of {_times(self.input_size)} does not fit into images whose shorter "
                    f"side is image.size={self.size}; make image.size larger or the crop smaller"
                )
        elif self.crop is not None and self.crop > min(self.height, self.width):
            raise UserError(
                f"image.crop={self.crop} is larger than the resized image, {self.height} x "
                f"{self.width}; make it {min(self.height, self.width)} or less"
            )

    @property
    def input_size(self) -> Size:
        """Height and width of the network's input."""
        return (self.height, self.width) if self.crop is None else (self.crop, self.crop)

    @property
    def depth(self) -> Depth:
        """What counts as white in files of more than 8 bits."""
        return Depth(self.bits, self.range)

    def decisive(self) -> dict[str, Any]:
        """The settings that decide how images are read, as JSON values: those of depth only where
        files are read in another way than by the upper 8 of 16 bits."""
        values = asdict(self)
        if not self.depth.own:
            del values["bits"], values["range"]
        return values

    def _check_tiles(self) -> None:
        for name in ("height", "width", "overlap"):
            value = getattr(self, name)
            if value % TILE_STEP:
                raise UserError(
                    f"image.{name}={value} with image.resize=tile; give a multiple of {TILE_STEP}"
                )
        if self.crop is not None:
            raise UserError("image.resize=tile leaves nothing out; set image.crop=null")
        if not 0 <= self.overlap <= min(self.height, self.width) // 2:
            raise UserError(
                f"image.overlap={self.overlap} with tiles of {self.height} x {self.width}; give 0 "
                "to half of the shorter side"
            )

    def windows(self, original: Size) -> list[Box]:
        """The parts of an image that become inputs, boxes of the original, row by row.

        One, but for `tile`; the last tiles of a row or column may reach beyond the image.
        """
        if self.resize != "tile":
            return [self.plan(original).placement.window]
        tops, lefts = (
            _starts(length, tile, self.overlap)
            for length, tile in zip(original, self.input_size, strict=True)
        )
        return [(top, left, *self.input_size) for top in tops for left in lefts]

    def canvas(self, original: Size) -> Size:
        """Height and width of what an image's inputs cover when laid out side by side."""
        if self.resize != "tile":
            return self.input_size
        top, left, height, width = self.windows(original)[-1]
        return top + height, left + width

    def plan(self, original: Size) -> Plan:
        """The way of an image of size `original` into the network's input, or onto its canvas.

        Raises `UserError` for an image whose longer side, after `shorter_side`, is shorter than the
        crop, or too long to hold.
        """
        if self.resize == "tile":
            whole = (0, 0, *original)
            return Plan(original, whole, Placement(original, whole, whole))
        resized = self._resized(original)
        frame = (self.height, self.width) if self.resize == "letterbox" else resized
        for axis, inner, outer in zip(("height", "width"), self.input_size, frame, strict=True):
            if inner > outer:
                raise UserError(
                    f"an image of {_times(original)} becomes {_times(resized)}, less than the crop "
                    f"in {axis} ({inner}); make image.size larger or use image.resize=letterbox"
                )
        rows, columns = (
            _Axis(*lengths)
            for lengths in zip(original, resized, frame, self.input_size, strict=True)
        )
        return Plan(
            resized=resized,
            visible=_box(rows.visible, columns.visible),
            placement=Placement(
                original=original,
                window=_box(rows.window, columns.window),
                content=_box(rows.content, columns.content),
            ),
        )

    def _resized(self, original: Size) -> Size:
        height, width = original
        if self.resize == "stretch":
            return self.height, self.width
        if self.resize == "letterbox":
            scale = min(self.height / height, self.width / width)
            return max(1, round(height * scale)), max(1, round(width * scale))
        assert self.size is not None  # for `shorter_side`; `tile` resizes nothing
        longer = int(self.size * max(original) / min(original))
        if longer * self.size > MOST_PIXELS:
            raise UserError(
                f"an image of {_times(original)} becomes one of {self.size} x {longer} by "
                "image.resize=shorter_side, too large to hold; use stretch, letterbox or tile"
            )
        return (self.size, longer) if height <= width else (longer, self.size)


@dataclass(frozen=True)
class _Axis:
    """One axis of the way into the network; intervals are (start, length) in whole pixels."""

    original: int
    resized: int
    frame: int
    crop: int

    @property
    def start(self) -> int:
        """Where the resized image begins in the input; negative where its beginning is cropped."""
        return _margin(self.frame, self.resized) - _margin(self.frame, self.crop)

    @property
    def content(self) -> tuple[int, int]:
        first, end = max(0, self.start), min(self.crop, self.start + self.resized)
        return first, end - first

    @property
    def visible(self) -> tuple[int, int]:
        first, length = self.content
        return first - self.start, length

    @property
    def window(self) -> tuple[int, int]:
        first, length = self.visible
        scale = self.original / self.resized
        top, end = round(first * scale), round((first + length) * scale)
        if end > top:
            return top, end - top
        # less than a pixel was seen: the one that holds the middle of it
        return (2 * first + length) * self.original // (2 * self.resized), 1


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis, evenly spread over it, on multiples of `TILE_STEP`."""
    last = max(0, -(-(length - tile) // TILE_STEP)) * TILE_STEP
    count = -(-last // (tile - overlap)) + 1
    if count == 1:
        return [0]
    steps = last // TILE_STEP
    return [steps * i // (count - 1) * TILE_STEP for i in range(count)]


def _margin(outer: int, inner: int) -> int:
    """Pixels before an interval centred in a longer one, as torchvision's centre crop rounds."""
    return round((outer - inner) / 2)


def _box(rows: tuple[int, int], columns: tuple[int, int]) -> Box:
    return rows[0], columns[0], rows[1], columns[1]


def _times(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
