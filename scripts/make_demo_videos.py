"""Makes the two silent videos of the demo school: a ball in window light, and its shadow filled.

The files are committed; make them again only to change them, in an environment of its own:

    python3 -m venv /tmp/video && /tmp/video/bin/pip install av numpy
    /tmp/video/bin/python scripts/make_demo_videos.py
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av  # type: ignore[import-not-found,unused-ignore] # needed by nothing else
import numpy as np  # type: ignore[import-not-found,unused-ignore] # needed by nothing else

FOLDER = Path(__file__).parents[1] / "backend" / "demo" / "media"
WIDTH, HEIGHT, RATE, SECONDS = 640, 360, 25, 12
WARM, COOL = np.array([1.0, 0.93, 0.84]), np.array([0.80, 0.88, 1.0])
SKIN, WALL = np.array([0.86, 0.70, 0.60]), np.array([0.46, 0.42, 0.50])
CENTRE, RADIUS = (300, 178), 118

Frame = Any  # float array (HEIGHT, WIDTH, 3), 0 black to 1 white
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)


def direction(angle: float, height: float = 0.45) -> Any:
    """A unit vector towards the light: 0 is behind the camera, pi / 2 to the left of the ball."""
    vector = np.array([-np.sin(angle), -height, np.cos(angle)])
    return vector / np.linalg.norm(vector)


def ball(frame: Frame, key: Any, fill: float) -> None:
    """A matt ball lit softly from `key` and by a reflector of strength `fill` opposite of it."""
    dx, dy = (X - CENTRE[0]) / RADIUS, (Y - CENTRE[1]) / RADIUS
    inside = dx**2 + dy**2
    normal = np.stack([dx, dy, np.sqrt(np.clip(1 - inside, 0, 1))], axis=-1)
    wrap = 0.25  # a window is wide: its light reaches a little round the edge
    lit = np.clip((normal @ key + wrap) / (1 + wrap), 0, 1) ** 1.25
    mirror = np.array([-key[0], key[1] * 0.2, key[2]])
    filled = fill * np.clip(normal @ mirror + 0.2, 0, 1.2)
    between = key + np.array([0, 0, 1])
    glow = 0.22 * np.clip(normal @ (between / np.linalg.norm(between)), 0, 1) ** 40
    light = lit[..., None] * COOL + filled[..., None] * WARM * 0.55 + 0.035
    edge = np.clip((1 - np.sqrt(inside)) * RADIUS / 1.5, 0, 1)[..., None]
    frame[:] = frame * (1 - edge) + np.clip(light * SKIN + glow[..., None], 0, 1) * edge


def wall(key: Any) -> Frame:
    """The wall behind: brighter where the light comes from, with the soft shadow of the ball."""
    fall = np.exp(-(((X - (CENTRE[0] + key[0] * 330)) / 330) ** 2 + ((Y - 120) / 300) ** 2))
    frame = (0.16 + 0.62 * fall)[..., None] * WALL * (0.5 + 0.5 * COOL)
    shade_x, shade_y = CENTRE[0] - key[0] * 150, CENTRE[1] - key[1] * 55
    away = np.sqrt((X - shade_x) ** 2 + (Y - shade_y) ** 2) / RADIUS
    frame *= (1 - 0.45 / (1 + np.exp((away - 1.08) * 9)))[..., None]
    return frame


def disc(frame: Frame, at: tuple[float, float], radius: float, colour: tuple[float, ...]) -> None:
    away = np.sqrt((X - at[0]) ** 2 + (Y - at[1]) ** 2)
    edge = np.clip(radius - away + 0.5, 0, 1)[..., None]
    frame[:] = frame * (1 - edge) + np.array(colour) * edge


def plan(frame: Frame, angle: float, fill: float) -> None:
    """The same from above, in the corner: ball, camera, window, and the reflector if any."""
    x, y, arm = 566, 284, 46
    frame[y - 66 : y + 70, x - 68 : x + 68] *= 0.55
    disc(frame, (x, y), 13, (0.86, 0.70, 0.60))
    disc(frame, (x, y + arm + 10), 5, (0.95, 0.95, 0.97))
    for step in np.linspace(-0.32, 0.32, 9):
        lamp = (x - arm * np.sin(angle + step), y + arm * np.cos(angle + step))
        disc(frame, lamp, 4, (0.72, 0.86, 1.0))
    if fill > 0:
        gap = 56 - 32 * fill
        for step in np.linspace(-14, 14, 9):
            disc(frame, (x + gap, y + 6 + step), 2.5, (1.0, 0.95, 0.82))


def window_light(part: float) -> Frame:
    """The window goes round the ball, from behind the camera to nearly behind the ball and back."""
    angle = np.pi * (0.42 - 0.42 * np.cos(2 * np.pi * part))
    key = direction(angle)
    frame = wall(key)
    ball(frame, key, 0.0)
    plan(frame, angle, 0.0)
    return frame


def face_in_shadow(part: float) -> Frame:
    """The light stays at the side; a reflector comes near and goes away."""
    angle, fill = np.pi * 0.52, 0.5 - 0.5 * np.cos(2 * np.pi * part)
    key = direction(angle)
    frame = wall(key)
    ball(frame, key, fill)
    left = int(470 - 34 * fill)
    frame[60:320, left : left + 16] = WARM * (0.25 + 0.6 * fill)
    plan(frame, angle, fill)
    return frame


def write(name: str, draw: Callable[[float], Frame]) -> None:
    path = FOLDER / name
    # The index stands first, so that a player starts before it has everything.
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        stream.options = {"crf": "27", "preset": "veryslow", "profile": "main", "tune": "animation"}
        for number in range(RATE * SECONDS):
            pixels = np.clip(draw(number / (RATE * SECONDS)), 0, 1) ** (1 / 1.6) * 255
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    print(f"{path.name}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    write("window-light.mp4", window_light)
    write("face-in-shadow.mp4", face_in_shadow)
