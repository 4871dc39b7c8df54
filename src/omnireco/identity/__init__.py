"""Identity resolution, and posteriors of unknown time zones."""

from omnireco._moved import explain_unknown_names
from omnireco.identity.identities import Identities
from omnireco.identity.linkage import probabilistic_links
from omnireco.identity.linking import LinkRules, Links
from omnireco.identity.zones import ZonePosterior

__all__ = ["Identities", "LinkRules", "Links", "ZonePosterior", "probabilistic_links"]

explain_unknown_names(__name__)
