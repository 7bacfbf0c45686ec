"""Few-shot episodes: new names bound to classes by a few examples, with no training (Frozen's fast binding).

    from mmagent.evaluation.episodes import evaluate_episodes, parse_settings, write_episodes

    found = evaluate_episodes(agent, labelled, parse_settings("ways=2,shots=1,3,5"), induction=True)
    write_episodes(found, "report")

After Tsimpoukelli et al. (2021), "Multimodal Few-Shot Learning with Frozen Language Models", sections 4.1 and
4.2: some classes get names, each is shown a few times under its name, and another example is to be named by
free generation.
"""

from __future__ import annotations

from mmagent.evaluation.episodes.page import write_episodes
from mmagent.evaluation.episodes.run import COUNT, EpisodeRun, EpisodesEvaluation, evaluate_episodes
from mmagent.evaluation.episodes.sample import Episode, Names, sample_episodes
from mmagent.evaluation.episodes.setting import Setting, parse_settings
from mmagent.evaluation.episodes.words import INVENTED

__all__ = [
    "COUNT",
    "INVENTED",
    "Episode",
    "EpisodeRun",
    "EpisodesEvaluation",
    "Names",
    "Setting",
    "evaluate_episodes",
    "parse_settings",
    "sample_episodes",
    "write_episodes",
]
