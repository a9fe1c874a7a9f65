"""The words of the nano world: canonical words, and the rules that bring English and Korean synonyms to them.

Every rule is an Oniguruma pattern (the dialect of the `tokenizers` library) and the text that replaces it.
Rules run in order on lower-case text without punctuation, so longer phrases stand before their parts.
"""

from __future__ import annotations

COUNTS = ("one", "two", "three")
COLOURS = ("gray", "white", "black", "brown", "golden", "red", "blue")
ANIMALS = ("wolf", "fox", "rabbit", "deer", "bear", "elephant", "bird")
ACTIONS = ("running", "walking", "jumping", "sleeping", "flying")
DIRECTIONS = ("left", "right")
PLACES = ("forest", "snowy forest", "desert", "beach", "flower meadow", "mountain lake")
TIMES = ("day", "sunset", "night")
CAMERAS = ("still", "pan left", "pan right")

# Words that carry no attribute. Training captions use them as well, so they do no harm in a user's prompt.
_FUNCTION = (
    "a an the of in on at to and with is are by through across along beside under over into from "
    "while during as its their there that facing towards lone"
)
_STYLE = (
    "disney like pixar style sense space depth cartoon animated animation film movie scene video clip "
    "cinematic beautiful cute friendly soft warm light gentle quiet wide view world picture colorful "
    "sky camera moon sun star water snow tree hill flower sand grass cloud group animal pair"
)

# Korean particles and endings that may follow a noun.
_P = "(?:들)?(?:이|가|은|는|을|를|의|와|과|도|에서|에게|에|로|으로|속|위|처럼|랑|하고|만)*"
_BEFORE = r"(?<!\p{L})"
_AFTER = r"(?!\p{L})"


def _english(*words: str) -> str:
    return r"\b(?:" + "|".join(words) + r")\b"


def _korean(*stems: str) -> str:
    """A Korean noun at the beginning of a word, with any particles. Whole word: '새' but not '새로운'."""
    return _BEFORE + "(?:" + "|".join(stems) + ")" + _P + _AFTER


# canonical text -> (English alternatives, Korean noun stems). Canonical words themselves need no rule.
_NOUNS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "snowy forest",
        ("winter (?:forest|woods?)", "snowy (?:woods?|forests)", "snow(?: covered)? forest"),
        ("눈 ?덮인 ?숲", "눈 ?내린 ?숲", "눈 ?내리는 ?숲", "눈 ?쌓인 ?숲", "눈 ?숲", "겨울 ?숲", "설원"),
    ),
    (
        "mountain lake",
        ("mountain lakes", "alpine lake", "lakes?(?: in the mountains)?", "lakeside", "lakeshore"),
        ("산속 ?호수", "산정 ?호수", "호숫가", "호수"),
    ),
    (
        "flower meadow",
        ("flowers? (?:fields?|meadows)", "meadows?", "fields? of flowers", "wildflowers?"),
        ("꽃 ?들판", "꽃이 ?핀 ?초원", "꽃밭", "초원", "들판"),
    ),
    ("forest", ("forests", "woods", "woodland"), ("숲",)),
    ("desert", ("deserts", "dunes"), ("사막",)),
    ("beach", ("beaches", "seaside", "seashore", "shore", "coast"), ("해변", "바닷가", "모래사장", "해안")),
    ("wolf", ("wolves", "wolfs"), ("늑대",)),
    ("fox", ("foxes",), ("여우",)),
    ("rabbit", ("rabbits", "bunny", "bunnies", "hares?"), ("토끼",)),
    ("deer", ("deers", "stags?", "fawns?", "reindeer"), ("사슴",)),
    ("bear", ("bears",), ("곰",)),
    ("elephant", ("elephants",), ("코끼리",)),
    ("bird", ("birds", "birdie"), ("작은 ?새", "새")),
    ("gray", ("grey", "silver"), ("회색", "잿빛", "은색")),
    ("white", (), ("하얀색", "하얀", "흰색", "흰")),
    ("black", ("dark furred",), ("검은색", "검은", "까만", "검정")),
    ("brown", (), ("갈색", "밤색")),
    ("golden", ("gold", "yellow", "blond"), ("황금색", "황금빛", "금색", "금빛", "노란색", "노란")),
    ("red", ("crimson", "scarlet"), ("빨간색", "빨간", "붉은")),
    ("blue", (), ("파란색", "파란", "푸른")),
    (
        "sunset",
        ("sundown", "dusk", "evening", "golden hour", "twilight"),
        ("해질 ?녘", "해 ?질 ?녘", "노을", "석양", "일몰", "저녁", "황혼"),
    ),
    (
        "night",
        ("nighttime", "night time", "midnight", "moonlight", "moonlit", "starry", "the moon"),
        ("달밤", "별밤", "한밤", "밤하늘", "밤"),
    ),
    (
        "day",
        ("daytime", "day time", "daylight", "midday", "noon", "sunny day", "sunny"),
        ("한낮", "대낮", "맑은 ?날", "낮"),
    ),
    ("left", ("leftwards?", "to the left"), ("왼쪽", "왼편")),
    ("right", ("rightwards?", "to the right"), ("오른쪽", "오른편")),
    ("camera", ("the camera",), ("카메라",)),
    ("pan", ("pans", "panning", "panned"), ("패닝", "팬")),
    ("still", ("static", "stands? still", "fixed"), ("고정된", "고정", "정지된", "정지")),
    ("sense of space", (), ("공간감",)),
    ("disney", (), ("디즈니",)),
    ("pixar", (), ("픽사",)),
    ("cartoon", ("cartoons",), ("만화",)),
    ("animated", (), ("애니메이션",)),
    ("beautiful", ("lovely", "pretty"), ("아름다운", "예쁜")),
    ("cute", (), ("귀여운",)),
    ("style", ("styled",), ("스타일", "풍")),
    ("light", ("lights", "lighting"), ("빛",)),
    ("animal", ("animals",), ("동물",)),
)

# Verbs: their Korean endings are not those of nouns.
_VERBS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("running", ("run", "runs", "ran", "racing", "gallop(?:s|ing)?", "chas(?:e|es|ing)", "sprint(?:s|ing)?"),
     ("달리고 ?있는", "달려가는", "달리는", "달린다", "달려", "뛰어가는", "뛰고 ?있는", "뛰는", "뛴다",
      "질주하는")),
    ("walking", ("walk", "walks", "walked", "stroll(?:s|ing)?", "wander(?:s|ing)?"),
     ("걸어가는", "걷고 ?있는", "걷는다", "걷는", "걸어", "산책하는")),
    ("jumping", ("jump", "jumps", "jumped", "leap(?:s|ing)?", "hop(?:s|ping)?"),
     ("뛰어오르는", "점프하는", "점프", "깡충깡충", "깡충")),
    ("sleeping", ("sleep", "sleeps", "asleep", "rest(?:s|ing)?", "nap(?:s|ping)?"),
     ("자고 ?있는", "잠자는", "잠든", "자는", "잔다", "쉬는", "쉬고 ?있는")),
    ("flying", ("fly", "flies", "soar(?:s|ing)?", "glid(?:es|ing)"),
     ("날아가는", "날고 ?있는", "하늘을 ?나는", "날아", "난다", "나는")),
    ("like", (), ("같은", "처럼")),
    ("in", (), ("속의", "안의", "속에서", "안에서", "에서")),
    ("and", ("&",), ("그리고",)),
)  # fmt: skip

_NUMBERS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("one", ("1", "single"), ("한 ?마리", "한", "하나")),
    ("two", ("2", "a pair of", "a couple of"), ("두 ?마리", "두", "둘")),
    ("three", ("3", "a trio of"), ("세 ?마리", "세", "셋")),
)


def replacement_rules() -> list[tuple[str, str]]:
    """(pattern, replacement) in the order in which they must run on lower-case text."""
    rules: list[tuple[str, str]] = []
    for canonical, english, korean in (*_NUMBERS, *_NOUNS):
        alternatives = [_english(*english)] if english else []
        alternatives += [_korean(*korean)] if korean else []
        if alternatives:
            rules.append(("|".join(alternatives), f" {canonical} "))
    for canonical, english, korean in _VERBS:
        alternatives = [_english(*english)] if english else []
        alternatives += [_BEFORE + "(?:" + "|".join(korean) + ")" + _AFTER] if korean else []
        rules.append(("|".join(alternatives), f" {canonical} "))
    # "mountain lake" must not become "mountain mountain lake", nor "flower flower meadow".
    rules.append((r"\bmountain\s+mountain\b", " mountain "))
    rules.append((r"\bflower\s+flower\b", " flower "))
    return rules


def vocabulary() -> tuple[str, ...]:
    """Every canonical word, once. Append only: the order is the numbering of the trained embedding."""
    attributes = (*COUNTS, *COLOURS, *ANIMALS, *ACTIONS, *DIRECTIONS, *PLACES, *TIMES, *CAMERAS)
    words = " ".join((*attributes, _FUNCTION, _STYLE)).split()
    return tuple(dict.fromkeys(words))
