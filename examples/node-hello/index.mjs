// Says hello. Every call is answered by a fresh fork of one VM, so `calls` is always 1.
let calls = 0;

export const handler = async (event) => {
  calls += 1;
  const name = event.queryStringParameters?.name ?? "world";
  return { message: `Hello, ${name}!`, calls };
};
