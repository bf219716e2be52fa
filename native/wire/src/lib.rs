//! gRPC over mTLS 1.3 between parties: connections, windows, acknowledgements, reconnection.
