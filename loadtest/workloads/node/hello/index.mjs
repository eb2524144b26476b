// Says hello: what a call costs that does nothing.
import { handlerOf } from "./workload.mjs";

export const handler = handlerOf("hello-node", { name: "world" }, ({ name }) => ({ message: `Hello, ${name}!` }));
