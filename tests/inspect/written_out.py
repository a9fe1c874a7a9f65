"""The shape tables of the public models, written out: stage | input | output | parameters.

Text and VAE follow T5 v1.1-XXL and the VAE's channels (128, 256, 256, 512); checked by hand against the
models' papers and configurations, not copied from the program. B is 1.
"""

TEXT = """
tokens                       | 1         | 1 226      | 0
token embedding              | 1 226     | 1 226 4096 | 131596288
relative position bias       | 226 226   | 226 226 64 | 2048
layers 0-23: self-attention  | 1 226 4096 | 1 226 4096 | 1610711040
layers 0-23: feed-forward    | 1 226 4096 | 1 226 4096 | 3019997184
final norm                   | 1 226 4096 | 1 226 4096 | 4096
"""

ENCODER_720x480 = """
frames                   | 1 49 3 480 720   | 1 3 49 480 720   | 0
conv_in                  | 1 3 49 480 720   | 1 128 49 480 720 | 10496
down block 0: resnets    | 1 128 49 480 720 | 1 128 49 480 720 | 2656512
down block 0: downsample | 1 128 49 480 720 | 1 128 25 240 360 | 147584
down block 1: resnets    | 1 128 25 240 360 | 1 256 25 240 360 | 9769472
down block 1: downsample | 1 256 25 240 360 | 1 256 13 120 180 | 590080
down block 2: resnets    | 1 256 13 120 180 | 1 256 13 120 180 | 10621440
down block 2: downsample | 1 256 13 120 180 | 1 256 13 60 90   | 590080
down block 3: resnets    | 1 256 13 60 90   | 1 512 13 60 90   | 39068672
mid block                | 1 512 13 60 90   | 1 512 13 60 90   | 28317696
norm_out                 | 1 512 13 60 90   | 1 512 13 60 90   | 1024
conv_out                 | 1 512 13 60 90   | 1 32 13 60 90    | 442400
latent                   | 1 32 13 60 90    | 1 13 16 60 90    | 0
"""

DECODER_720x480 = """
latent                 | 1 13 16 60 90    | 1 16 13 60 90    | 0
conv_in                | 1 16 13 60 90    | 1 512 13 60 90   | 221696
mid block              | 1 512 13 60 90   | 1 512 13 60 90   | 28387328
up block 0: resnets    | 1 512 13 60 90   | 1 512 13 60 90   | 56774656
up block 0: upsample   | 1 512 13 60 90   | 1 512 25 120 180 | 2359808
up block 1: resnets    | 1 512 25 120 180 | 1 256 25 120 180 | 16141568
up block 1: upsample   | 1 256 25 120 180 | 1 256 49 240 360 | 590080
up block 2: resnets    | 1 256 49 240 360 | 1 256 49 240 360 | 14231552
up block 2: upsample   | 1 256 49 240 360 | 1 256 49 480 720 | 590080
up block 3: resnets    | 1 256 49 480 720 | 1 128 49 480 720 | 4056704
norm_out               | 1 128 49 480 720 | 1 128 49 480 720 | 4608
conv_out               | 1 128 49 480 720 | 1 3 49 480 720   | 10371
frames                 | 1 3 49 480 720   | 1 49 3 480 720   | 0
"""

TRANSFORMER = {
    "cogvideox-5b": """
text projection             | 1 226 4096    | 1 226 3072    | 12585984
timestep embedding          | 1 3072        | 1 512         | 1836032
latent                      | 1 13 16 60 90 | 1 13 16 60 90 | 0
patches, flattened          | 1 13 16 60 90 | 1 17550 64    | 0
patches to tokens           | 1 17550 64    | 1 17550 3072  | 199680
positions: rotary           | 13 30 45      | 17550 64      | 0
text + video                | 1 17550 3072  | 1 17776 3072  | 0
blocks 0-41: norms and gates | 1 17550 3072 | 1 17550 3072  | 794787840
blocks 0-41: attention      | 1 17776 3072  | 1 17776 3072  | 1585973760
blocks 0-41: feed-forward   | 1 17776 3072  | 1 17776 3072  | 3171538944
norm_final                  | 1 17550 3072  | 1 17550 3072  | 6144
norm_out                    | 1 17550 3072  | 1 17550 3072  | 3158016
out projection              | 1 17550 3072  | 1 17550 64    | 196672
unpatchify                  | 1 17550 64    | 1 13 16 60 90 | 0
""",
    "cogvideox-2b": """
text projection             | 1 226 4096    | 1 226 1920    | 7866240
timestep embedding          | 1 1920        | 1 512         | 1246208
latent                      | 1 13 16 60 90 | 1 13 16 60 90 | 0
patches, flattened          | 1 13 16 60 90 | 1 17550 64    | 0
patches to tokens           | 1 17550 64    | 1 17550 1920  | 124800
positions: sincos           | 13 30 45      | 1 17776 1920  | 0
text + video                | 1 17550 1920  | 1 17776 1920  | 0
blocks 0-29: norms and gates | 1 17550 1920 | 1 17550 1920  | 354816000
blocks 0-29: attention      | 1 17776 1920  | 1 17776 1920  | 442606080
blocks 0-29: feed-forward   | 1 17776 1920  | 1 17776 1920  | 885024000
norm_final                  | 1 17550 1920  | 1 17550 1920  | 3840
norm_out                    | 1 17550 1920  | 1 17550 1920  | 1973760
out projection              | 1 17550 1920  | 1 17550 64    | 122944
unpatchify                  | 1 17550 64    | 1 13 16 60 90 | 0
""",
    "cogvideox-1.5-5b": """
text projection             | 1 226 4096     | 1 226 3072     | 12585984
timestep embedding          | 1 3072         | 1 512          | 1836032
latent                      | 1 22 16 96 170 | 1 22 16 96 170 | 0
patches, flattened          | 1 22 16 96 170 | 1 44880 128    | 0
patches to tokens           | 1 44880 128    | 1 44880 3072   | 396288
positions: rotary           | 11 48 85       | 44880 64       | 0
text + video                | 1 44880 3072   | 1 45106 3072   | 0
blocks 0-41: norms and gates | 1 44880 3072  | 1 44880 3072   | 794787840
blocks 0-41: attention      | 1 45106 3072   | 1 45106 3072   | 1585973760
blocks 0-41: feed-forward   | 1 45106 3072   | 1 45106 3072   | 3171538944
norm_final                  | 1 44880 3072   | 1 44880 3072   | 6144
norm_out                    | 1 44880 3072   | 1 44880 3072   | 3158016
out projection              | 1 44880 3072   | 1 44880 128    | 393344
unpatchify                  | 1 44880 128    | 1 22 16 96 170 | 0
""",
}

Line = tuple[str, tuple[int, ...], tuple[int, ...], int]


def lines(table: str) -> list[Line]:
    """The rows of a written table."""
    found = []
    for line in table.strip().splitlines():
        stage, enters, leaves, parameters = (cell.strip() for cell in line.split("|"))
        found.append((stage, _shape(enters), _shape(leaves), int(parameters)))
    return found


def resized(table: str, sides: dict[str, str]) -> str:
    """The written table at another size: whole numbers (or runs of them, '60 90') are exchanged."""
    import re

    if not sides:
        return table.strip()
    pattern = re.compile(r"(?<![\d-])(" + "|".join(sorted(sides, key=len, reverse=True)) + r")(?![\d:-])")
    done = []
    for line in table.strip().splitlines():
        stage, enters, leaves, parameters = line.split("|")
        done.append(
            "|".join([stage, *(pattern.sub(lambda m: sides[m[1]], s) for s in (enters, leaves)), parameters])
        )
    return "\n".join(done)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(side) for side in text.split())
