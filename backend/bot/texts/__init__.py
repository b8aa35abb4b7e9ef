"""Every screen as a pure function: data in, Screen out, in the language of the moment."""
