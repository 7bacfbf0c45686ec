"""Words that mean nothing: names for things that have none yet.

dax, blicket, wug, toma, fep and zav are those that studies of word learning have used (Tsimpoukelli et al.
2021 took dax and blicket); the others were made up to be said as easily. None is an English word.
"""

from __future__ import annotations

__all__ = ["INVENTED"]

INVENTED = tuple(
    "dax blicket wug toma fep zav perpo bouba tulver lorp pimwit nuz vek glark jefa regli tever virdex vorg"
    " fiffin boskot cheem coodle pabe pizer poip teebu ziv mulb dorfle kestup grolm tazzle nerba skeff lupta"
    " zorbit yomple brindok drulk vimpo frebby klastin snarpel plaket zimbu gopter quonk fendle murbo trebbin"
    " nalopi keffi".split()
)
