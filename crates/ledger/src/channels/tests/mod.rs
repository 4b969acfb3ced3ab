mod collector;
mod fixture;
mod lifecycle;
mod limits;
mod model;
