"""A fake engine and desk for tests of the window: deterministic pictures of drawn faces, no network, no torch.

The pictures follow the code as a generator's do: coarse layers move the head, middle ones the features, fine ones the colours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from facelab import jobs
from facelab.errors import PictureError, WrongGenerator
from facelab.files import replacing
from facelab.jobs import Answer, GeneratorInfo, Job, LayerInfo, LossInfo, read_only
from facelab.latent.code import Code, Direction, Floats
from facelab.latent.direction import orthogonalise
from facelab.latent.recipe import Recipe

Z_DIM = W_DIM = 32
NUM_WS = 12
RESOLUTION = 128
SHA = "fa" * 32
_RANDOM = np.random.RandomState(0)
_MAP = (_RANDOM.randn(Z_DIM, W_DIM) / np.sqrt(Z_DIM)).astype(np.float32)
_READ = (_RANDOM.randn(3, 6, W_DIM) / np.sqrt(W_DIM)).astype(np.float32)
W_AVG = np.zeros(W_DIM, np.float32)


LOSSES = (
    LossInfo("pixels", "Pixels (pyramid)", 1.0), LossInfo("gradients", "Edges (image gradients)", 0.5),
    LossInfo("perceptual", "Perceptual (VGG16)", 1.0, "vgg16"), LossInfo("portraits", "Portrait features", 0.0, "encoder"),
    LossInfo("ms-ssim", "Structure (MS-SSIM)", 0.0),
)  # fmt: skip


def info(
    name: str = "portraits", sha256: str = SHA, path: str | None = None, noise_works: bool = True
) -> GeneratorInfo:
    """What the fake generator says of itself: 128 px, 12 layers."""
    sizes = [4 * 2 ** (i // 2) for i in range(NUM_WS)]
    return GeneratorInfo(
        sha256=sha256, file_sha256=sha256, name=name, path=path, family="stylegan2", format="facelab",
        resolution=RESOLUTION, img_channels=3, num_ws=NUM_WS, z_dim=Z_DIM, w_dim=W_DIM, c_dim=0, parameters=1_000_000,
        w_avg=W_AVG, w_std=1.0, layers=tuple(LayerInfo(f"b{s}.conv{i % 2}", s, 64, 64, 64) for i, s in enumerate(sizes)),
        noise_shapes=tuple((s, s) for s in sizes[1:]), noise_works=noise_works, device="cpu", precision="float32",
        losses=LOSSES, tuning=(2_000_000, 16_000_000),
    )  # fmt: skip


def mapped(code: Code) -> Floats:
    """z through the fake mapping network; W and W+ as they are."""
    if code.space != "z":
        return code.array
    z = code.array / np.sqrt(np.mean(code.array**2) + 1e-8)
    return np.asarray(np.tanh(z @ _MAP) * 1.6, np.float32)


def ws_of(recipe: Recipe) -> Floats:
    return recipe.ws([mapped(code) for code in recipe.sources], W_AVG, NUM_WS)


def draw(ws: Floats, side: int = RESOLUTION, grain: float = 0.0, seed: int = 0) -> jobs.Pixels:
    """A face drawn from a code [12, 32], uint8 [side, side, 3]."""
    p = np.tanh(
        np.stack([_READ[g] @ ws[rows].mean(0) for g, rows in enumerate((slice(0, 4), slice(4, 8), slice(8, 12)))])
    )
    shape, parts, colour = p
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side * 2 - 1
    x = x - 0.18 * shape[0]
    y = y - 0.08 * shape[1]
    edge = 3.0 / side

    def cover(cx: float, cy: float, rx: float, ry: float) -> Floats:
        d = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) - 1
        return np.clip(0.5 - d * min(rx, ry) / edge, 0, 1)[..., None]

    back = np.array([0.42 + 0.25 * colour[0], 0.47 + 0.2 * colour[1], 0.52 - 0.25 * colour[0]])
    skin = np.array([0.86, 0.66, 0.54]) * (0.78 + 0.26 * colour[2])
    hair = np.array([0.30 + 0.22 * colour[3], 0.21 + 0.14 * colour[3], 0.15 + 0.08 * colour[4]])
    rx, ry = 0.44 + 0.07 * shape[2], 0.60 + 0.07 * shape[3]
    picture = np.broadcast_to(back, (side, side, 3)) * (1.05 - 0.25 * (y[..., None] + 1) / 2)
    layers = [
        (hair, cover(0, -0.12 - 0.08 * parts[0], rx * 1.2, ry * 1.02 + 0.18 * max(0.0, parts[1]))),
        (skin * 0.82, cover(0, 0.75, 0.2, 0.4)),
        (np.array([0.25, 0.3, 0.42]) * (1 + 0.4 * colour[5]), cover(0, 1.25, 0.8, 0.45)),
        (skin, cover(0, 0, rx, ry)),
        (hair, cover(0, -0.62 - 0.05 * parts[0], rx * 0.98, 0.22)),
        (skin * 0.8, cover(0.09 * shape[0], 0.13, 0.055, 0.1)),
        (np.array([0.65, 0.3, 0.3]), cover(0.06 * shape[0], 0.34, 0.15 + 0.05 * parts[2], 0.035 + 0.02 * parts[3])),
    ]
    for s in (-1, 1):
        ex = s * 0.19 + 0.06 * shape[0]
        layers += [
            (hair * 0.8, cover(ex, -0.22, 0.1, 0.022)),
            (np.array([0.96, 0.96, 0.96]), cover(ex, -0.1, 0.085, 0.045 + 0.015 * parts[4])),
            (np.array([0.2, 0.25 + 0.1 * colour[1], 0.3]), cover(ex + 0.02 * parts[5], -0.1, 0.036, 0.036)),
        ]
    for c, a in layers:
        picture = picture * (1 - a) + c * a
    if grain:
        picture = picture + grain * np.random.RandomState(seed).randn(side, side, 1)
    return read_only((np.clip(picture, 0, 1) * 255).astype(np.uint8))


class FakeEngine:
    """Stands in for the engine behind the real worker.

    Attributes:
        done: every job that began, in order.
        pause: seconds slept before each picture.
        sharp: whether tiles are drawn at their full size.
        fail: errors to raise, by the job's class.
        open: the generators that can be drawn with, by sha256.
    """

    def __init__(self, pause: float = 0.0, noise_works: bool = True) -> None:
        self.done: list[Job] = []
        self.pause = pause
        self.noise_works = noise_works
        self.sharp = False
        self.fail: dict[type[Job], Exception] = {}
        self.open: set[str] = set()
        self.closed = False

    def run(self, job: Job, cancel: threading.Event) -> Iterator[Answer | None]:
        self.done.append(job)
        if type(job) in self.fail:
            raise self.fail[type(job)]
        for kind, method in self._methods().items():
            if isinstance(job, kind):
                yield from method(self, job)
                return
        raise NotImplementedError(type(job).__name__)

    def close(self) -> None:
        self.closed = True

    def trim(self) -> None: ...

    def _methods(self) -> Mapping[type[Job], Callable[..., Iterator[Answer | None]]]:
        return _ENGINE

    def _draw(self, recipe: Recipe, side: int) -> jobs.Pixels:
        if recipe.generator not in self.open:
            raise WrongGenerator("this face belongs to another generator: open that one to see it")
        time.sleep(self.pause)
        noise = recipe.noise
        grain = 0.03 * float(np.mean(noise.strength)) if noise.mode != "none" and self.noise_works else 0.0
        return draw(ws_of(recipe), side, grain, noise.seed if noise.mode == "seed" else 1)

    def open_generator(self, job: jobs.OpenGenerator) -> Iterator[Answer | None]:
        yield jobs.Progress(1, 2, "reading")
        if job.path is None:
            made = info(noise_works=self.noise_works)
        else:
            made = info(job.path.stem, job.path.stem.encode().hex().ljust(64, "0")[:64], str(job.path))
        self.open.add(made.sha256)
        yield made

    def render(self, job: jobs.Render) -> Iterator[Answer | None]:
        full = job.resolution or RESOLUTION
        began = time.monotonic()
        for side in sorted({min(32, full), full}):
            pixels = np.stack([self._draw(r, side) for r in job.recipes])
            yield jobs.Images(read_only(pixels), side, side == full, time.monotonic() - began, job.rough)

    def tiles(self, job: jobs.RenderTiles) -> Iterator[Answer | None]:
        for start in range(0, len(job.cells), 4):
            cells = job.cells[start : start + 4]
            recipes = [Recipe.of(job.plane.at(i * job.step, j * job.step)) for i, j in cells]
            if job.template is not None:
                recipes = [job.template.change(sources=r.sources, weights=()) for r in recipes]
            yield jobs.Tiles(
                cells, read_only(np.stack([self._draw(r, job.resolution) for r in recipes])), job.resolution
            )

    def thumbnails(self, job: jobs.Thumbnails) -> Iterator[Answer | None]:
        yield jobs.Images(read_only(np.stack([self._draw(r, job.resolution) for r in job.recipes])), job.resolution)

    def resolve(self, job: jobs.Resolve) -> Iterator[Answer | None]:
        yield jobs.Codes(
            tuple(
                Code(array=ws_of(r), space="w+", generator=r.generator, origin={"resolved": True}) for r in job.recipes
            )
        )

    def directions(self, job: jobs.FindDirections) -> Iterator[Answer | None]:
        random = np.random.RandomState(5)
        found = tuple(
            Direction(name=f"{job.method} {i + 1}", vector=v / np.linalg.norm(v), sigma=1.0, generator=job.generator, method=job.method)
            for i, v in enumerate(random.randn(job.count, W_DIM).astype(np.float32))
        )  # fmt: skip
        yield jobs.Directions(found, tuple(1 / (i + 2) for i in range(job.count)))

    def orthogonalise(self, job: jobs.Orthogonalise) -> Iterator[Answer | None]:
        samples = np.stack([mapped(Code.from_seed(seed, Z_DIM, SHA)) for seed in range(64)])
        yield jobs.Directions((orthogonalise(job.direction, job.others, samples),))

    def project(self, job: jobs.Project) -> Iterator[Answer | None]:
        goal = mapped(Code.from_seed(int(job.target.mean()), Z_DIM, job.generator))
        code = Code(
            array=np.broadcast_to(goal, (NUM_WS, W_DIM)),
            space="w+",
            generator=job.generator,
            origin={"photo": job.name, "run": job.run},
        )
        random = np.random.RandomState(job.settings.seed)
        best, steps = np.inf, job.settings.steps
        for step in range(steps):
            time.sleep(self.pause)
            pixels_loss = 0.9 * (step + 1) ** -0.55 * (1 + 0.05 * random.rand())
            terms = {"total": (pixels_loss * 1.2,), "pixels": (pixels_loss,), "noise": (pixels_loss * 0.2,)}
            best = min(best, pixels_loss * 1.2)
            share = np.float32(min(1.0, (step + 1) / max(1, 0.6 * steps)))
            ws = read_only(np.asarray(code.array * share, np.float32))
            kept = step in (0, steps - 1) or (step & (step - 1)) == 0
            yield jobs.ProjectionStep(job.run, (step,), terms, ws if kept else None, draw(ws, 64) if step % 4 == 0 else None, kept, best)  # fmt: skip
            yield jobs.Progress(step + 1, steps, f"step {step + 1} of {steps}")
            if step % 20 == 19:
                yield jobs.ProjectionState(job.run, step, b"state")
        yield jobs.ProjectionDone(job.run, code, best, steps - 1, draw(code.array))

    def tune(self, job: jobs.Tune) -> Iterator[Answer | None]:
        for step in range(job.settings.steps):
            time.sleep(self.pause)
            yield jobs.TuningStep(
                job.run, (step,), {"pixels": (1 / (step + 1),), "total": (1 / (step + 1),)}, job.target
            )
        yield jobs.TuningDone(job.run, "7" * 64, b"delta", job.target, 1 / job.settings.steps, job.settings.steps)

    def use_tunings(self, job: jobs.UseTunings) -> Iterator[Answer | None]:
        yield from ()

    def write(
        self, job: jobs.ExportMorph | jobs.ExportPictures | jobs.ExportPlane | jobs.ExportTable
    ) -> Iterator[Answer | None]:
        paths = job.paths if isinstance(job, jobs.ExportPictures | jobs.WriteReport) else (job.path,)
        total = 20
        for i in range(total):
            time.sleep(self.pause)
            yield jobs.Progress(i + 1, total, f"picture {i + 1} of {total}")
        for path in paths:
            path.write_bytes(b"fake")
            yield jobs.Written(path)

    def write_report(self, job: jobs.WriteReport) -> Iterator[Answer | None]:
        for path in job.paths:
            path.write_bytes(b"fake")
            yield jobs.Written(path)

    def write_short(self, job: jobs.SaveGenerator | jobs.WriteLatents | jobs.PasteBack) -> Iterator[Answer | None]:
        job.path.write_bytes(b"fake")
        yield jobs.Written(job.path)

    def read_latents(self, job: jobs.ReadLatents) -> Iterator[Answer | None]:
        yield jobs.Codes((Code.from_seed(42, Z_DIM, job.generator),))


_ENGINE: dict[type[Job], Callable[..., Iterator[Answer | None]]] = {
    jobs.OpenGenerator: FakeEngine.open_generator, jobs.Render: FakeEngine.render, jobs.RenderTiles: FakeEngine.tiles,
    jobs.Thumbnails: FakeEngine.thumbnails, jobs.Resolve: FakeEngine.resolve, jobs.FindDirections: FakeEngine.directions,
    jobs.Orthogonalise: FakeEngine.orthogonalise, jobs.Tune: FakeEngine.tune, jobs.UseTunings: FakeEngine.use_tunings,
    jobs.Project: FakeEngine.project, jobs.ExportMorph: FakeEngine.write, jobs.ExportPictures: FakeEngine.write,
    jobs.ExportPlane: FakeEngine.write, jobs.ExportTable: FakeEngine.write, jobs.ExportDescent: FakeEngine.write, jobs.WriteReport: FakeEngine.write_report, jobs.SaveGenerator: FakeEngine.write_short,
    jobs.WriteLatents: FakeEngine.write_short, jobs.ReadLatents: FakeEngine.read_latents,
}  # fmt: skip


class FakeDesk(FakeEngine):
    """Stands in for the desk: photographs with one face in the middle, which is overlooked in those named "noface", but with
    upsampling found in the "small" ones; files told by their suffix.

    Attributes:
        here: what was downloaded of the catalogue, by name.
    """

    def __init__(self, pause: float = 0.0, noise_works: bool = True) -> None:
        super().__init__(pause, noise_works)
        self.here: dict[str, Path] = {}

    def _methods(self) -> Mapping[type[Job], Callable[..., Iterator[Answer | None]]]:
        return _DESK

    def open_photo(self, job: jobs.OpenPhoto) -> Iterator[Answer | None]:
        pixels = draw(mapped(Code.from_seed(len(job.path.name), Z_DIM, SHA))[None].repeat(NUM_WS, 0), 512)
        if "noface" in job.path.name and not ("small" in job.path.name and job.upsample):
            yield jobs.PhotoOpened(job.path, pixels, (512, 512), (), "no face was found; place the crop by hand")
            return
        quad = np.array([[96, 96], [96, 416], [416, 416], [416, 96]], np.float32)
        face = jobs.Face((128, 128, 384, 384), np.empty((0, 2), np.float32), quad, 1.0)
        yield jobs.PhotoOpened(job.path, pixels, (512, 512), (face,))

    def crop_photo(self, job: jobs.CropPhoto) -> Iterator[Answer | None]:
        side = min(job.size, 256)
        yield jobs.Cropped(
            draw(mapped(Code.from_seed(len(job.path.name), Z_DIM, SHA))[None].repeat(NUM_WS, 0), side), job.quad, 0.0
        )

    def save_picture(self, job: jobs.SavePicture) -> Iterator[Answer | None]:
        job.path.write_bytes(b"fake")
        yield jobs.Written(job.path)

    def look(self, job: jobs.LookAtFile) -> Iterator[Answer | None]:
        what = {
            ".jpg": "photo", ".png": "photo", ".heic": "photo", ".pkl": "generator", ".pt": "generator",
            ".safetensors": "generator", ".facelab": "project", ".npy": "latents", ".npz": "latents",
        }.get(job.path.suffix)  # fmt: skip
        if job.path.name.endswith(".face.png"):
            yield jobs.Dropped(job.path, "recipe", Recipe.of(Code.from_seed(42, Z_DIM, SHA)))
        elif what is None:
            raise PictureError(f"{job.path.name} is not a file that facelab knows")
        else:
            yield jobs.Dropped(job.path, what)

    def catalogue(self, job: jobs.ListCatalogue) -> Iterator[Answer | None]:
        common = {
            "licence": "CC BY-NC 4.0 <non-commercial>",
            "licence_address": "https://example.org/terms",
            "bytes": 381_000_000,
        }
        yield jobs.Catalogue(
            tuple(
                jobs.CatalogueEntry(
                    name=name, title=title, kind=kind, family=family, resolution=side, by_hand=by_hand,
                    address=f"https://example.org/{name}", path=self.here.get(name), **common,
                )
                for name, title, kind, family, side, by_hand in (
                    ("ffhq", "Faces (FFHQ)", "generator", "stylegan2", 1024, False),
                    ("cats", "Cats (AFHQ)", "generator", "stylegan2", 512, False),
                    ("first", "Faces, the first StyleGAN", "generator", "stylegan1", 1024, True),
                    ("vgg", "VGG16 features", "features", "vgg16", 224, False),
                )
            )
        )  # fmt: skip

    def download(self, job: jobs.Download) -> Iterator[Answer | None]:
        for i in range(20):
            time.sleep(self.pause)
            yield jobs.Progress(i + 1, 20, "downloading")
        self.here[job.entry] = Path(f"/models/{job.entry}.pkl")
        yield jobs.Written(self.here[job.entry])

    def fetch(self, job: jobs.FetchPicture) -> Iterator[Answer | None]:
        job.path.write_bytes(b"fetched")
        yield jobs.Written(job.path)

    def write_file(self, job: jobs.WriteFile) -> Iterator[Answer | None]:
        with replacing(job.path) as temporary:
            if isinstance(job.data, bytes):
                temporary.write_bytes(job.data)
            else:
                Image.fromarray(job.data).save(temporary, "PNG")
        yield jobs.Written(job.path)


_DESK: dict[type[Job], Callable[..., Iterator[Answer | None]]] = {
    jobs.OpenPhoto: FakeDesk.open_photo, jobs.CropPhoto: FakeDesk.crop_photo, jobs.LookAtFile: FakeDesk.look,
    jobs.FetchPicture: FakeDesk.fetch, jobs.PasteBack: FakeDesk.write, jobs.Download: FakeDesk.download, jobs.ListCatalogue: FakeDesk.catalogue,
    jobs.WriteDirections: FakeEngine.write_short, jobs.SavePicture: FakeDesk.save_picture, jobs.PasteBack: FakeEngine.write_short,
    jobs.WriteFile: FakeDesk.write_file,
}  # fmt: skip
