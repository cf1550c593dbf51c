//! Written text becomes the described Gateway.
