import { beforeEach, describe, expect, test } from '@jest/globals';
import { HeapKeeper } from './heap-keeper.js';

const MIB = 1024 * 1024;

let usedMib: number;
let totalMib: number;
let growth: number[];
let collections: number;
let keeper: HeapKeeper;

beforeEach(() => {
  usedMib = 10;
  totalMib = 20;
  growth = [];
  collections = 0;
  keeper = new HeapKeeper({
    statistics: () => ({ usedBytes: usedMib * MIB, totalBytes: totalMib * MIB }),
    setGrowthPercent: (percent) => growth.push(percent),
    collect: () => {
      collections++;
      usedMib = 15;
      totalMib = 20;
    },
  });
});

function look(mib: number): void {
  usedMib = mib;
  keeper.look();
}

test('a small heap may grow to a multiple of itself, a large one as V8 thinks best', () => {
  look(20);
  look(30);
  look(65);
  look(90);
  look(40);
  expect(growth).toEqual([300, 0, 300]);
});

describe('what a burst took is given back', () => {
  test('after two quiet looks, once', () => {
    look(60);
    totalMib = 80;
    look(61);
    expect(collections).toBe(0);
    look(62);
    expect(collections).toBe(1);
    for (let i = 1; i < 20; i++) look(15 + i / 10);
    expect(collections).toBe(1);
  });

  test('and again after the next burst', () => {
    totalMib = 80;
    look(11);
    look(12);
    totalMib = 70;
    look(60);
    look(61);
    look(62);
    expect(collections).toBe(2);
  });

  test('not while something is allocated or was just collected', () => {
    totalMib = 100;
    for (const mib of [20, 40, 60, 30, 50, 70, 35]) look(mib);
    expect(collections).toBe(0);
  });

  test('not when the heap is so large that it would take long', () => {
    totalMib = 400;
    for (let i = 0; i < 10; i++) look(300);
    expect(collections).toBe(0);
  });

  test('not when there is next to nothing to give', () => {
    totalMib = 16;
    for (let i = 0; i < 10; i++) look(10);
    expect(collections).toBe(0);
  });
});
