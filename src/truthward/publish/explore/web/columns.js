// Columns of numbers from the elements that truthward.publish.explore.columns wrote.

const bytesOf = (text) =>
  Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// {values, start}: start is the row of the first value; rows before and after are zero.
export async function take(element) {
  const { bytes: size, rows, start, planes } = element.dataset;
  const [width, count] = [Number(size), Number(rows)];
  const data = bytesOf(element.textContent);
  element.remove();
  const whole = new Uint8Array(width * count);
  let place = 0;
  for (const [k, length] of planes.split(" ").map(Number).entries()) {
    const part = data.subarray(place, place + length);
    place += length;
    const plane = length === count ? part : await inflated(part);
    for (let i = 0; i < count; i++) whole[width * i + k] = plane[i];
  }
  const values = width === 8 ? new Float64Array(whole.buffer) : new Float32Array(whole.buffer);
  return { values, start: Number(start) };
}

export const blocks = () => [...document.querySelectorAll("script[data-column]")];
