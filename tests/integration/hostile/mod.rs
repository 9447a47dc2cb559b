//! Strangers who mean harm: what they send is answered at once and costs nobody anything.

mod documents;
mod places;
