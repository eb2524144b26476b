"""Makes a thumbnail of a photograph with Pillow (SeBS 210.thumbnailer): decodes a JPEG, scales it down, encodes it. The
photograph is made from the seed. Check: the thumbnail can be read, has its size, and about the colours of the original."""

import hashlib
import io
import random
from PIL import Image, ImageStat
import workload

# Imports the formats' modules now, not in each request.
Image.preinit()

QUALITY = 85
TOLERANCE = 4.0


def photograph(width, height, seed):
    """A JPEG of soft coloured shapes."""
    noise = random.Random(seed).randbytes(16 * 12 * 3)
    image = Image.frombytes("RGB", (16, 12), noise).resize((width, height), Image.Resampling.BICUBIC)
    return encode(image)


def encode(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def work(width, height, edge, seed):
    original = Image.open(io.BytesIO(photograph(width, height, seed)))
    colours = ImageStat.Stat(original).mean
    original.thumbnail((edge, edge))
    thumbnail = Image.open(io.BytesIO(encode(original)))
    ratio = min(1.0, edge / width, edge / height)
    sizes = zip(thumbnail.size, (width * ratio, height * ratio))
    workload.check(all(abs(has - wanted) <= 1 for has, wanted in sizes), f"the thumbnail is {thumbnail.size}")
    differences = [abs(a - b) for a, b in zip(colours, ImageStat.Stat(thumbnail).mean)]
    workload.check(max(differences) < TOLERANCE, f"the colours differ by {differences}")
    digest = hashlib.sha256(thumbnail.tobytes()).hexdigest()
    return {"width": thumbnail.width, "height": thumbnail.height, "sha256": digest}


parameters = {
    "width": (16, 2048, 640),
    "height": (16, 2048, 480),
    "edge": (16, 1024, 128),
    "seed": (0, 2**32 - 1, 1),
}
handler = workload.handler("thumbnailer-python", parameters, work)
