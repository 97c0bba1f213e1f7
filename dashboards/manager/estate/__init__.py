"""Sites, rooms, meters: the pages of what there is and of what is done to it."""
