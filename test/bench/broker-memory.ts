import { type DevCluster } from '@raftmq/testkit';

const MIB = 1024 * 1024;

/** MiB of the brokers' processes, by broker: resident, JavaScript heap in use of heap taken, and buffers outside of it. */
export async function brokerMemory(cluster: DevCluster): Promise<string> {
  const texts = cluster.brokers().map(async ({ id, metrics }) => {
    const page = await (await fetch(`http://${metrics}/metrics`)).text();
    const mib = (name: string): number => {
      const line = new RegExp(`^${name} ([0-9.e+]+)$`, 'm').exec(page);
      return Math.round(Number(line?.[1] ?? NaN) / MIB);
    };
    const heap = `${mib('nodejs_heap_size_used_bytes')}/${mib('nodejs_heap_size_total_bytes')}`;
    const rss = mib('process_resident_memory_bytes');
    return `${id}: ${rss} (heap ${heap}, external ${mib('nodejs_external_memory_bytes')})`;
  });
  return (await Promise.all(texts)).join(', ');
}
