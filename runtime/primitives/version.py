"""What a runtime says of itself. Source: sp_version::RuntimeVersion."""

from typing import Annotated

from runtime.primitives.shapes import Fixed, struct, u8, u32


@struct("sp_version::RuntimeVersion")
class RuntimeVersion:
    """Names and versions; `apis` are pairs of blake2-64 of an API's name and its version."""

    spec_name: str
    impl_name: str
    authoring_version: u32
    spec_version: u32
    impl_version: u32
    apis: list[tuple[Annotated[bytes, Fixed(8)], u32]]
    transaction_version: u32
    system_version: u8
