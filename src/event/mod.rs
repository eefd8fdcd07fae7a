//! Events: a closed vocabulary of typed values, one JSON object a line.
