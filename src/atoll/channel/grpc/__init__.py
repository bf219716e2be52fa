"""Parties on different machines: gRPC over mTLS 1.3, on the native wire."""

from atoll.channel.grpc.transport import GrpcTransport, WireSettings

__all__ = ["GrpcTransport", "WireSettings"]
