"""Draws portraits: factor values in, pictures out, by ray marching on OpenGL (EGL, no display, no graphics card needed).

Runs only in processes that never import torch: Mesa's software renderer and torch once corrupted the heap of a process
that held both. Other code asks for pictures through ``dataset.draw``, which starts such a process.

A picture is three passes of a fragment shader (portrait.glsl): a cone march at half size finds where each ray may first
meet something; the march goes on from there at full size and shades once per pixel; pixels on an edge of material or
colour are shaded again at four places. What a face does not have (glasses, beard, ...) is compiled out.
"""

from __future__ import annotations

import colorsys
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facelab.errors import FacelabError
from facelab.portraits.factors import NAMES, Floats, settle, smooth_step

if "torch" in sys.modules:
    raise RuntimeError("facelab.portraits.renderer was imported into a process that holds torch; use dataset.draw")


class RendererUnavailable(FacelabError):
    """Portraits cannot be drawn here: moderngl or an EGL driver is missing."""


def _linear(*stops: tuple[int, int, int]) -> Floats:
    return (np.array(stops, np.float64) / 255.0) ** 2.2


# Colours from which a share picks, sRGB: melanin, hair from black to blond, irises from brown to grey.
_SKIN = _linear(
    (246, 214, 196), (240, 198, 170), (226, 176, 140), (204, 152, 120), (166, 116, 90), (126, 86, 68), (86, 59, 49)
)
_HAIR = _linear((26, 21, 20), (38, 28, 24), (62, 43, 33), (98, 66, 44), (144, 102, 64), (190, 148, 94), (216, 190, 144))
_IRIS = _linear(
    (70, 40, 22), (106, 66, 34), (116, 106, 54), (78, 122, 72), (70, 134, 152), (84, 136, 196), (140, 162, 182)
)
_PIVOT = np.array([0.0, -0.25, -0.2])

_SHAPES = (*NAMES, "hair_depth", "hair_cover", "curl_depth", "old", "skin_shine")
"""Scalar parameters of the shader: every factor, settled, and five that follow from them."""
_COLOURS = (
    "skin_colour", "lip_colour", "hair_colour", "iris_colour", "background_high", "background_low", "clothes_colour",
    "hat_colour", "scarf_colour", "frame_colour", "eyeshadow_colour", "lash_colour", "brow_colour", "beard_colour",
    "KEY", "key_colour", "sky_colour", "ground_colour", "fill_colour", "rim_colour",
)  # fmt: skip
_OPTIONS = ("WITH_CURL", "WITH_GLASSES", "WITH_HEADWEAR", "WITH_BEARD", "WITH_TEETH")
"""What is compiled out of the shader where it is not needed. Few: a variant costs seconds and some 40 MB."""


def _pick(stops: Floats, share: float) -> Floats:
    at = np.linspace(0.0, 1.0, len(stops))
    return np.array([np.interp(share, at, stops[:, i]) for i in range(3)])


def _hsv(hue: float, saturation: float, value: float) -> Floats:
    rgb: Floats = np.array(colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(value, 1.0))) ** 2.2
    return rgb


def _rotation(yaw: float, pitch: float, roll: float) -> Floats:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turn: Floats = around_z @ around_x @ around_y
    return turn


def _colours(v: dict[str, float]) -> dict[str, Floats]:
    """Linear colours and light from settled scalars."""
    skin, u = _pick(_SKIN, v["skin"]), v["undertone"]
    skin = skin * (
        np.array([1 + 0.05 * u, 1 - 0.03 * u, 1 - 0.20 * u])
        if u > 0
        else np.array([1 + 0.04 * u, 1 - 0.06 * u, 1 + 0.08 * u])
    )
    hair, tint = _pick(_HAIR, v["hair_lightness"]), v["hair_tint"]
    light = float(hair @ [0.3, 0.6, 0.1])
    if tint > 0:
        hair = hair * (1 - 0.85 * tint) + 0.85 * tint * np.array([1.9, 0.52, 0.20]) * (0.75 * light + 0.05)
    grey = smooth_step(0.35, 1.0, -tint)
    grey += (1 - grey) * 0.75 * smooth_step(0.25, 1.0, v["old"])
    hair = hair * (1 - 0.85 * grey) + 0.85 * grey * np.array([0.94, 0.97, 1.04]) * (0.75 * light + 0.10)
    natural_lips = skin * np.array([0.84, 0.47, 0.48]) + np.array([0.03, 0.0, 0.005])
    paint = np.array([0.50, 0.05, 0.09])
    hue, lightness = v["background_hue"], v["background_lightness"]
    high = _hsv(hue, 0.42 - 0.18 * lightness, 0.34 + 0.58 * lightness)
    low = _hsv(hue + 0.06, 0.52 - 0.20 * lightness, 0.20 + 0.48 * lightness)
    ambient = 0.5 * (high + low)
    cloth, cloth_light = v["clothes_hue"], v["clothes_lightness"]
    saturation = 0.56 - 0.25 * abs(cloth_light - 0.5)
    azimuth, elevation, warm = v["light_azimuth"], v["light_elevation"], v["light_warmth"]
    key = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    # The photographer opens up a little for dark skin and stops down for pale.
    exposure = 0.94 + 0.34 * v["skin"]
    return {
        "skin_colour": skin,
        "lip_colour": natural_lips * (1 - 0.8 * v["lipstick"]) + 0.8 * v["lipstick"] * paint,
        "hair_colour": hair,
        "iris_colour": 1.2 * _pick(_IRIS, v["iris"]),
        "background_high": high,
        "background_low": low,
        "clothes_colour": _hsv(cloth, saturation, 0.26 + 0.58 * cloth_light),
        "hat_colour": _hsv(cloth + 0.06, 0.52, 0.30 + 0.48 * cloth_light),
        "scarf_colour": _hsv(cloth + 0.42, 0.50, 0.34 + 0.48 * cloth_light),
        "frame_colour": np.array([0.022, 0.018, 0.017]) + 0.06 * _hsv(cloth, 0.6, 0.5),
        "eyeshadow_colour": 0.3 * skin + np.array([0.14, 0.07, 0.24]) * 0.8,
        "lash_colour": np.array([0.012, 0.009, 0.009]) + 0.04 * hair,
        "brow_colour": 0.45 * hair + 0.02 * skin,
        "beard_colour": 0.8 * hair,
        "KEY": key,
        "key_colour": 1.30 * exposure * np.array([1 + 0.14 * warm, 1.0, 1 - 0.17 * warm]),
        "sky_colour": exposure * np.array([1 - 0.05 * warm, 1.0, 1 + 0.08 * warm]) * 0.34 + 0.20 * ambient,
        "ground_colour": exposure * np.array([0.17, 0.145, 0.138]) + 0.10 * ambient,
        "fill_colour": exposure * np.array([1 - 0.08 * warm, 1.0, 1 + 0.12 * warm]) * 0.20 + 0.10 * ambient,
        "rim_colour": 0.9 * ambient + 0.36,
    }  # fmt: skip


def _options(v: dict[str, float]) -> tuple[bool, ...]:
    return (
        v["curl"] > 0 or v["afro"] > 0 or v["braids"] > 0, v["glasses"] > 0, v["hat"] > 0 or v["puffs"] > 0 or v["scarf"] > 0,
        v["beard"] > 0 or v["moustache"] > 0, v["mouth_open"] > 0,
    )  # fmt: skip


_VERTEX = "#version 330\nin vec2 at; out vec2 uv; void main() { uv = at; gl_Position = vec4(at, 0.0, 1.0); }"
# Pass 1, half size: how far a whole cone of rays may go before it can meet anything.
_APPROACH = """
in vec2 uv; out vec4 result; uniform float width;
void main() {
    vec3 origin, direction; camera(uv, origin, direction);
    float cone = 2.4 * HALF_WIDTH / (width * (CAMERA_Z - TARGET_Z)), t = NEAR;
    for (int i = 0; i < 40; i++) {
        float d = scene(origin + direction * t);
        if (d < 0.75 * cone * t) break;
        t += CAUTION * (d - 0.25 * cone * t);
        if (t > FAR) { t = MISS; break; }
    }
    result = vec4(t);
}"""
# Pass 2, full size: one shaded sample per pixel, with distance, occlusion, shadow and material kept for pass 3.
_SHADE = """
in vec2 uv; layout(location = 0) out vec4 kept; layout(location = 1) out vec4 colour; uniform sampler2D approach;
void main() {
    vec3 origin, direction; camera(uv, origin, direction);
    ivec2 cell = ivec2(gl_FragCoord.xy) / 2, last = textureSize(approach, 0) - 1;
    float t = MISS;
    for (int j = -1; j <= 1; j++) for (int i = -1; i <= 1; i++)
        t = min(t, texelFetch(approach, clamp(cell + ivec2(i, j), ivec2(0), last), 0).x);
    kept = vec4(MISS, 1.0, 1.0, -1.0);
    vec3 c = background(uv);
    if (t < MISS) t = march(origin, direction, t - 0.03, 40);
    if (t < MISS) {
        vec3 p = origin + direction * t, n = surface_normal(p);
        float ao = occlusion(p, n), lit = dot(n, KEY) > -0.35 ? soft_shadow(p + 0.012 * n, KEY) : 0.0, material;
        c = surface_colour(p, direction, ao, lit, n, material);
        kept = vec4(t, ao, lit, material);
    }
#ifdef WITH_GLASSES
    c = through_lenses(origin, direction, t, c);
#endif
    colour = vec4(develop(c), 1.0);
}"""
# Pass 3: edges again, four samples on a rotated grid; occlusion and shadow come from the neighbours of like distance.
_EDGES = """
in vec2 uv; out vec4 result; uniform sampler2D kept; uniform sampler2D colour; uniform float width;
void main() {
    const ivec2 NEXT[4] = ivec2[4](ivec2(1, 0), ivec2(-1, 0), ivec2(0, 1), ivec2(0, -1));
    const vec2 GRID[4] = vec2[4](vec2(-0.125, -0.375), vec2(0.375, -0.125), vec2(-0.375, 0.125), vec2(0.125, 0.375));
    ivec2 cell = ivec2(gl_FragCoord.xy), last = textureSize(kept, 0) - 1;
    vec3 here = texelFetch(colour, cell, 0).rgb;
    vec4 around[5]; around[0] = texelFetch(kept, cell, 0);
    float edge = 0.0, nearest = around[0].x;
    for (int k = 0; k < 4; k++) {
        ivec2 other = clamp(cell + NEXT[k], ivec2(0), last);
        around[k + 1] = texelFetch(kept, other, 0);
        vec3 change = abs(texelFetch(colour, other, 0).rgb - here);
        edge = max(edge, max(change.r, max(change.g, change.b)));
        if (around[k + 1].w != around[0].w) edge = 1.0;
        nearest = min(nearest, around[k + 1].x);
    }
    result = vec4(here, 1.0);
    if (edge > 0.06) {
        vec3 sum = vec3(0.0);
        for (int k = 0; k < 4; k++) {
            vec2 at = uv + 2.0 * GRID[k] / width;
            vec3 origin, direction, c = background(at); camera(at, origin, direction);
            float t = MISS;
            if (nearest < MISS) {
                t = march(origin, direction, nearest - 0.06, 32);
                vec3 p = origin + direction * t;
                if (t < MISS) {
                    float ao = 0.0, lit = 0.0, total = 0.0, material;
                    for (int i = 0; i < 5; i++) {
                        float share = (i == 0 ? 1.0 : 0.5) * exp(-14.0 * abs(around[i].x - t)) + 1e-7;
                        ao += share * around[i].y; lit += share * around[i].z; total += share;
                    }
                    c = surface_colour(p, direction, ao / total, lit / total, surface_normal(p), material);
                }
            }
#ifdef WITH_GLASSES
            c = through_lenses(origin, direction, t, c);
#endif
            sum += develop(c);
        }
        result = vec4(0.25 * sum, 1.0);
    }
}"""


class Renderer:
    """An OpenGL context that draws portraits of one size.

    Args:
        resolution: pixels per side, even.

    Raises:
        RendererUnavailable: moderngl is not installed, or no EGL driver gives OpenGL 3.3.
    """

    def __init__(self, resolution: int = 128) -> None:
        if importlib.util.find_spec("moderngl") is None:
            raise RendererUnavailable("Drawing portraits needs moderngl: install facelab[train].")
        import moderngl

        try:
            self._context = moderngl.create_context(standalone=True, require=330, backend="egl")  # type: ignore[arg-type]
        except Exception as error:  # moderngl raises bare Exception for a missing driver
            raise RendererUnavailable(
                f"Drawing portraits needs an EGL driver with OpenGL 3.3 (on Debian: libegl1 libgl1-mesa-dri): {error}"
            ) from error
        self.resolution = resolution
        self._body = (Path(__file__).parent / "portrait.glsl").read_text(encoding="utf-8")
        self._triangle = self._context.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self._programs: dict[tuple[bool, ...], list[tuple[Any, Any]]] = {}

        def texture(size: int, dtype: str) -> moderngl.Texture:
            made = self._context.texture((size, size), 4, dtype=dtype)
            made.filter = (moderngl.NEAREST, moderngl.NEAREST)
            return made

        half, kept = texture(resolution // 2, "f4"), texture(resolution, "f4")
        colour, result = texture(resolution, "f2"), texture(resolution, "f1")
        self._inputs: tuple[dict[str, Any], ...] = ({}, {"approach": half}, {"kept": kept, "colour": colour})
        self._targets = [self._context.framebuffer(group) for group in ([half], [kept, colour], [result])]

    @property
    def driver(self) -> str:
        """What draws, as the driver names itself."""
        return str(self._context.info["GL_RENDERER"])

    def _passes(self, options: tuple[bool, ...]) -> list[tuple[Any, Any]]:
        if options not in self._programs:
            head = [f"#version 330\nuniform float SHAPES[{len(_SHAPES)}];\nuniform vec3 COLOURS[{len(_COLOURS)}];"]
            head += ["uniform mat3 HEAD;\nuniform vec2 CENTRE;"]
            head += [f"#define {name}" for name, wanted in zip(_OPTIONS, options, strict=True) if wanted]
            head += [f"#define {name} SHAPES[{i}]" for i, name in enumerate(_SHAPES)]
            head += [f"#define {name} COLOURS[{i}]" for i, name in enumerate(_COLOURS)]
            passes = []
            for main in (_APPROACH, _SHADE, _EDGES):
                source = "\n".join([*head, self._body, main])
                program = self._context.program(vertex_shader=_VERTEX, fragment_shader=source)
                passes.append((program, self._context.vertex_array(program, [(self._triangle, "2f", "at")])))
            self._programs[options] = passes
        return self._programs[options]

    def draw(self, values: Floats) -> np.ndarray:
        """Factor values [K] -> picture uint8 [resolution, resolution, 3]."""
        v = settle(values)
        colours = _colours(v)
        head = _rotation(v["yaw"], v["pitch"], v["roll"])
        # The crop of FFHQ: eyes a quarter of the width apart, centre a tenth of the way from eyes to mouth.
        eyes = _PIVOT + head @ (np.array([0.0, 0.0, 0.62]) - _PIVOT)
        mouth = _PIVOT + head @ (np.array([0.0, -0.59 * v["face_length"], 0.70]) - _PIVOT)
        uniforms = {
            "SHAPES": np.array([v[name] for name in _SHAPES], np.float32),
            "COLOURS": np.array([colours[name] for name in _COLOURS], np.float32),
            "HEAD": np.ascontiguousarray(head.T, np.float32),  # column by column, and used as its transpose
            "CENTRE": (eyes + 0.1 * (mouth - eyes))[:2].astype(np.float32),
        }
        for (program, triangle), inputs, target in zip(
            self._passes(_options(v)), self._inputs, self._targets, strict=True
        ):
            for name, value in uniforms.items():
                if name in program:
                    # A driver may shorten an array to its highest index in use.
                    member = program[name]
                    member.write(
                        value[: member.array_length].tobytes() if name in ("SHAPES", "COLOURS") else value.tobytes()
                    )
            for unit, (name, picture) in enumerate(inputs.items()):
                if name in program:
                    picture.use(unit)
                    program[name].value = unit
            target.use()
            self._context.viewport = (0, 0, *target.size)
            if "width" in program:
                program["width"].value = float(target.size[0])
            triangle.render(vertices=3)
        flat = np.frombuffer(self._targets[2].read(components=3, alignment=1), np.uint8)
        return flat.reshape(self.resolution, self.resolution, 3)[::-1].copy()

    def draw_all(self, values: Floats) -> Iterator[tuple[int, np.ndarray]]:
        """Factor values [N, K] -> (row, picture), ordered so that faces of one shader variant follow one another."""
        variants = [_options(settle(row)) for row in values]
        for i in sorted(range(len(values)), key=lambda i: variants[i]):
            yield i, self.draw(values[i])


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures uint8 [N, H, W, 3] -> one contact sheet, row by row, black where there are none left."""
    n, h, w, _ = pictures.shape
    rows = -(-n // columns)
    page = np.zeros((rows * columns, h, w, 3), np.uint8)
    page[:n] = pictures
    return page.reshape(rows, columns, h, w, 3).swapaxes(1, 2).reshape(rows * h, columns * w, 3)
