"""Write the page that says where every public name went, from what the front and its packages show today.

    python tools/migration.py            # rewrite docs/migration.md, down to its section on signatures
    python tools/migration.py --check    # only say whether it would change

The old names are facts and stand here; the new lines are read from ``omnireco._moved``, as the errors read them, so
that the page, the errors and the code cannot disagree.
"""

from __future__ import annotations

import importlib
import sys
from collections import defaultdict
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "migration.md"
BY_HAND = "\n## Signatures\n"  # what follows is written by hand, and kept

OLD = {
    "om": """
        ALS EASE GFCF SLIM ActivityModel ActivityProfile AttributeModel Audience Blend BlendModel Budget BuyAgain
        Candidates Capacity Catalog ChannelComparison ChannelModel ChannelPreference ChannelPreferenceModel
        ChannelReport Consent Constraint CreativeChoices CreativeModel Creatives CrossChannel Decisions Eligibility
        EventLog EventScan Explanations FactorModel Fallback FallbackLists Fatigue FatigueModel FollowUps FollowUpsModel
        FrequencyCap Identities Interactions ItemIndex ItemKNN ItemModel LearnedBlend LearnedWeights LinearBandit
        LinkRules LiveBandit MessageLog Model NeighborModel NextItem OffPolicy OncePerItem P3alpha Plan Popularity
        PopularityModel ProjectionModel PureSVD QualityReport QuietHours RP3beta Ranker RankerModel Reachable
        ReadingClock ReadingModel Recommendations RefillModel Refills Report Reproduction Requests ResolveReport
        SegmentModel SegmentPopularity SendTime SendTimeModel SessionKNN Slots TypedEASE TypedModel UserKNN Vocabulary
        Weights WhatNext ZonePosterior adapters add_new_items average_precision avoid calibrated calibration_error
        candidates channel_report compare_channels cost_of coverage cross_fitted_rewards datasets diversity dpp errors
        evaluate explain fingerprint headroom hit_rate infer_zones io join_channels learn_blend learn_people
        learn_weights leave_last limit_exposure limit_popularity load mean_reciprocal_rank mmr ndcg novelty off_policy
        people_attributes plan precision probabilistic_links promoted quotas recall recommend_to_parquet reproduce save
        show_versions simulate slots split_people split_rolling thompson_propensities topk typed_inputs unfinished
        with_people
    """,
    "om.models": """
        ALS EASE GFCF SLIM Blend BlendModel BuyAgain ChannelModel CrossChannel FactorModel ItemKNN ItemModel Model
        NeighborModel NextItem P3alpha Popularity PopularityModel ProjectionModel PureSVD RP3beta Recommendations
        TypedEASE TypedModel UserKNN join_channels typed_inputs
    """,
    "om.evaluation": """
        Headroom RankedLists Report average_precision coverage diversity evaluate headroom hit_rate mean_reciprocal_rank
        ndcg novelty precision recall timing_skill
    """,
    "om.response": """
        ActivityModel ActivityProfile DelayMixture Explored Fatigue FatigueModel Power ReadingClock ReadingModel
        SendTime SendTimeModel explore fit_delay_mixture infer_zones power
    """,
    "om.data": """
        Audience Catalog EventLog Interactions MessageLog Slots Vocabulary Weights slots
    """,
    "om.planning": """
        Budget Candidates Capacity Consent Constraint Eligibility FrequencyCap OncePerItem Plan QuietHours Reachable
        Rows Touches candidates plan
    """,
    "om.adapters": """
        Adapted cloudevents ga4 hashed_email machine_responses segment shopify snowplow to_cloudevents to_crm_csv
        to_send_minutes woocommerce
    """,
    "omnireco.io": """
        load save
    """,
    "omnireco.datasets": """
        PROVENANCE CompleteJourney Frames complete_journey complete_journey_frames complete_journey_promotions
    """,
    "omnireco.export": """
        recommend_to_parquet
    """,
    "omnireco.linkage": """
        probabilistic_links
    """,
    "omnireco.reproduce": """
        Reproduction reproduce
    """,
    "omnireco.simulate": """
        ARCHETYPES Truth World sending_policy simulate
    """,
    "omnireco.data.quality": """
        Finding
    """,
    "omnireco.response.machines": """
        DelayMixture fit_delay_mixture
    """,
    "omnireco.response.explore": """
        explore power
    """,
    "omnireco.evaluation.timing": """
        timing_skill
    """,
}
"""Public names of the old packages, by where they were found."""

DEEP = {
    "omnireco.data.quality.Finding": "omnireco.data.frames.quality.Finding",
    "omnireco.datasets.Frames": "omnireco.worlds.datasets.Frames",
    "omnireco.datasets.PROVENANCE": "omnireco.worlds.datasets.PROVENANCE",
    "omnireco.simulate.ARCHETYPES": "omnireco.worlds.simulate.ARCHETYPES",
    "omnireco.simulate.Truth": "omnireco.worlds.simulate.Truth",
    "omnireco.simulate.sending_policy": "omnireco.worlds.simulate.sending_policy",
}
"""Names that no package shows: they are imported from their module."""

INTRO = """# Where names went

Before the first version the packages were drawn anew: the front keeps the names of most days, and everything else is
found in the package of its subject. There are no aliases. An old name is an error that gives its new line:

```text
>>> om.ReadingClock
AttributeError: omnireco.ReadingClock is now omnireco.timing.ReadingClock: write om.timing.ReadingClock.
```

`from omnireco import ReadingClock` gives the same line. As everywhere in these pages, `om` is `omnireco`.
"""


def new_line(old: str) -> str:
    """Return how an old line is written now; the old one where it still holds."""
    from omnireco._moved import new_lines

    lines = (DEEP[old],) if old in DEEP else tuple(f"om.{line}" for line in new_lines(old.rpartition(".")[2]))
    if not lines:
        raise SystemExit(f"{old} is nowhere now: name its place in ELSEWHERE of src/omnireco/_moved.py.")
    return old if _is_shown(old) else " or ".join(lines)


def moves() -> dict[str, str]:
    """Return old line to new line, of every public name of the old packages."""
    return {old: new_line(old) for old in (f"{place}.{name}" for place, names in OLD.items() for name in names.split())}


def page() -> str:
    """Return the page, down to what is written by hand."""
    from omnireco._moved import ELSEWHERE

    modules = {name: places for name, places in ELSEWHERE.items() if "." not in places[0]}
    tables = defaultdict(list)
    for old, new in moves().items():
        if old != new and old.removeprefix("om.") not in modules:
            parts = new.split(".")
            tables["the front" if len(parts) == 2 else f"`om.{parts[1]}`"].append((old, new))
    stayed = ", ".join(f"`{old}`" for old, new in moves().items() if old == new and old.count(".") == 1)
    gone = [(f"om.{name}", " or ".join(f"om.{place}" for place in places)) for name, places in modules.items()]
    parts = [INTRO, f"## Still at the front\n\n{stayed}.\n", f"## Modules\n\n{_table(gone)}"]
    return "\n".join(parts + [f"## Now in {place}\n\n{_table(rows)}" for place, rows in sorted(tables.items())])


def _table(rows: list[tuple[str, str]]) -> str:
    lines = ["| old line | new line |", "|---|---|", *(f"| `{old}` | `{new}` |" for old, new in rows)]
    return "\n".join(lines).replace(" or om.", "` or `om.") + "\n"


def _is_shown(line: str) -> bool:
    """Return whether the front, or a package of it, shows a name such as ``om.data.Slots``."""
    import omnireco

    _, *packages, name = line.split(".")
    if not line.startswith("om.") or any(package not in omnireco.__all__ for package in packages):
        return False
    return name in importlib.import_module(".".join(["omnireco", *packages])).__all__


def main(check: bool) -> None:
    """Write the page, or see that it is up to date."""
    there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = there.partition(BY_HAND)[2]
    text = page() + BY_HAND + kept
    if check and text != there:
        raise SystemExit("docs/migration.md does not show where names are today: run python tools/migration.py.")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
