//! Strangers who mean harm: what they send is answered at once and costs nobody anything.

mod attacks;
mod bystander;
mod documents;
mod floods;
mod large;
mod places;
mod siege;
