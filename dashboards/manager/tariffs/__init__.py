"""The pages of tariffs: what holds, drafts and their rehearsal, whom they are for, and which gateway has them."""
