"""A stand-in for mockdex."""

import standin

standin.serve("mockdex")
