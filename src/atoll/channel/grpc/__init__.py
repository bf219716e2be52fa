"""Parties on different machines: gRPC over mTLS 1.3, on the native wire."""

from atoll.channel.grpc.failures import CallRefusedError
from atoll.channel.grpc.gateway import Call, Gateway, GatewaySettings, enrol, new_token
from atoll.channel.grpc.transport import GatewayTransport, GrpcTransport, WireSettings

__all__ = [
    "Call",
    "CallRefusedError",
    "Gateway",
    "GatewaySettings",
    "GatewayTransport",
    "GrpcTransport",
    "WireSettings",
    "enrol",
    "new_token",
]
