"""The two languages of the product, and which of them a caller reads."""

from dataclasses import dataclass
from enum import StrEnum


class Language(StrEnum):
    """BCP 47 tags, as in Content-Language."""

    NORWEGIAN = "nb"
    ENGLISH = "en"


@dataclass(frozen=True)
class Sentence:
    """The same sentence in both languages; {names} in braces are filled in by `said`."""

    nb: str
    en: str

    def said(self, language: Language, **values: object) -> str:
        """Raises KeyError when the sentence names a value that is not given."""
        return (self.nb if language is Language.NORWEGIAN else self.en).format(**values)


_LANGUAGE_OF_TAG = {
    "nb": Language.NORWEGIAN,
    "no": Language.NORWEGIAN,
    "nn": Language.NORWEGIAN,
    "en": Language.ENGLISH,
}


def preferred_language(accept_language: str) -> Language:
    """The best match for Accept-Language (RFC 9110 section 12.5.4); Norwegian without one."""
    best, best_weight = Language.NORWEGIAN, 0.0
    for entry in accept_language.split(","):
        tag, _, parameter = entry.strip().partition(";")
        language = _LANGUAGE_OF_TAG.get(tag.strip().lower().partition("-")[0])
        weight = _weight(parameter)
        if language is not None and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
