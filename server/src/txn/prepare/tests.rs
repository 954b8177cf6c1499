//! Tests of preparing.
