//! What sockets, pipes and readiness do, told by scenarios that run twice: on Linux and in pico. Both must tell the
//! same. What only pico has (the request, the Runtime API) is tested in `requests` and `api`.

mod api;
mod channels;
mod chunks;
mod descriptors;
mod epolls;
mod fifos;
mod inputs;
mod netlink;
mod parts;
mod polls;
mod requests;
mod rig;
mod rights;
mod sockets;
mod udp;
mod unix;
