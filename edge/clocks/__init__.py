"""Which time is believed, and the clocks in the meters."""
