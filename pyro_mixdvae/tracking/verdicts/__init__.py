"""What a result cannot be trusted in: a family of verdicts a module, each a sentence with figure, frames and advice."""
