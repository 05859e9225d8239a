"""Below the transport seam: sockets, encryption, frames, who is dialled and who may come in."""
