"""Small raw videos as the paper's benchmarks come: KTH's avi and Human3.6M's mp4 files."""

from fractions import Fraction

import av
import numpy as np


def write_raw(path, count, *, height=120, width=160, rate=25, times=None, seed=0):
    """Encode a moving grey pattern in MPEG-4; frame i is shown at times[i] / rate seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        stream.codec_context.time_base = Fraction(1, rate)
        for i in range(count):
            wave = np.sin(0.11 * columns + 0.3 * i + seed) * np.cos(0.17 * rows - 0.2 * i)
            level = (128 + 100 * wave).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack(3 * [level], axis=-1), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = i if times is None else times[i], Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def filtered(path, description):
    """Decode a video through a filter graph of FFmpeg, such as `scale=64:64`; (t, h, w, 3)."""
    images = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        source = graph.add_buffer(template=stream, time_base=stream.time_base)
        sink = graph.add("buffersink")
        steps = [graph.add(*step.split("=", 1)) for step in description.split(",")]
        for before, after in zip([source, *steps], [*steps, sink], strict=True):
            before.link_to(after)
        graph.configure()
        for frame in container.decode(stream):
            graph.push(frame)
            images.append(graph.pull().to_ndarray())
    return np.stack(images)
