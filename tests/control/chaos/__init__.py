"""The experiments' own rules, with hands and a clock that only exist here."""
